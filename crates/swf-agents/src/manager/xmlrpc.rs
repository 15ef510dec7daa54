//! XML-RPC as supervisord speaks it: calls out, values and faults in.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::Event;

/// Deeper answers are refused; those of supervisord have about ten levels.
const DEPTH: usize = 64;

/// A value of a call or an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `int`, `i4`, `i8`.
    Int(i64),
    /// `boolean`.
    Bool(bool),
    /// `string`, and types that have no place of their own here (double, dateTime).
    Text(String),
    /// `array`.
    Array(Vec<Value>),
    /// `struct`.
    Struct(BTreeMap<String, Value>),
}

impl Value {
    pub(super) fn int(&self, key: &str) -> Option<i64> {
        match self.member(key)? {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.member(key)?.as_text()
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn member(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Struct(members) => members.get(key),
            _ => None,
        }
    }
}

/// What the server answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// The method's result.
    Value(Value),
    /// The method failed with this code and text.
    Fault(i64, String),
}

/// The body of a call.
pub(super) fn call(method: &str, arguments: &[Value]) -> String {
    let mut xml =
        format!("<?xml version=\"1.0\"?><methodCall><methodName>{}</methodName><params>", escape(method));
    for argument in arguments {
        xml.push_str("<param>");
        write_value(&mut xml, argument);
        xml.push_str("</param>");
    }
    xml.push_str("</params></methodCall>");
    xml
}

fn write_value(xml: &mut String, value: &Value) {
    match value {
        Value::Int(number) => xml.push_str(&format!("<value><int>{number}</int></value>")),
        Value::Bool(truth) => {
            xml.push_str(&format!("<value><boolean>{}</boolean></value>", u8::from(*truth)))
        }
        Value::Text(text) => {
            xml.push_str(&format!("<value><string>{}</string></value>", escape(text.as_str())))
        }
        Value::Array(items) => {
            xml.push_str("<value><array><data>");
            items.iter().for_each(|item| write_value(xml, item));
            xml.push_str("</data></array></value>");
        }
        Value::Struct(members) => {
            xml.push_str("<value><struct>");
            for (name, item) in members {
                xml.push_str("<member><name>");
                xml.push_str(&escape(name.as_str()));
                xml.push_str("</name>");
                write_value(xml, item);
                xml.push_str("</member>");
            }
            xml.push_str("</struct></value>");
        }
    }
}

/// Reads the body of an answer. The error says what is wrong with it.
pub(super) fn answer(xml: &str) -> Result<Answer, String> {
    let root = parse(xml)?;
    if root.name != "methodResponse" {
        return Err(format!("it is a {:?} instead of a methodResponse", root.name));
    }
    if let Some(fault) = root.child("fault") {
        let fault = value(fault.child("value").ok_or("the fault has no value")?)?;
        let text = fault.text("faultString").unwrap_or("no reason given").to_owned();
        return Ok(Answer::Fault(fault.int("faultCode").unwrap_or(0), text));
    }
    let param = root.child("params").and_then(|params| params.child("param"));
    value(param.and_then(|param| param.child("value")).ok_or("it has no value")?).map(Answer::Value)
}

#[derive(Debug, Default)]
struct Node {
    name: String,
    text: String,
    children: Vec<Node>,
}

impl Node {
    fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }
}

fn parse(xml: &str) -> Result<Node, String> {
    let mut reader = Reader::from_str(xml);
    let mut open = vec![Node::default()];
    loop {
        let event = reader.read_event().map_err(|error| format!("it is no XML: {error}"))?;
        match event {
            Event::Start(tag) => {
                if open.len() > DEPTH {
                    return Err(format!("it is nested more than {DEPTH} deep"));
                }
                open.push(Node { name: tag.name().as_ref().to_owned(), ..Node::default() });
            }
            Event::Empty(tag) => {
                let node = Node { name: tag.name().as_ref().to_owned(), ..Node::default() };
                open.last_mut().ok_or("it ends twice")?.children.push(node);
            }
            Event::End(_) => {
                let node = open.pop().ok_or("it ends twice")?;
                open.last_mut().ok_or("it ends twice")?.children.push(node);
            }
            Event::Text(text) => open.last_mut().ok_or("it ends twice")?.text.push_str(&text.xml10_content()),
            Event::CData(text) => {
                open.last_mut().ok_or("it ends twice")?.text.push_str(&text.xml10_content())
            }
            Event::GeneralRef(entity) => {
                let text = &mut open.last_mut().ok_or("it ends twice")?.text;
                match entity.resolve_char_ref().map_err(|error| format!("bad character: {error}"))? {
                    Some(character) => text.push(character),
                    None => {
                        text.push_str(resolve_predefined_entity(&entity.xml10_content()).unwrap_or_default())
                    }
                }
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let mut root = open.pop().filter(|_| open.is_empty()).ok_or("it ends too early")?;
    root.children.pop().ok_or_else(|| "it is empty".to_owned())
}

fn value(node: &Node) -> Result<Value, String> {
    let Some(typed) = node.children.first() else { return Ok(Value::Text(node.text.clone())) };
    match typed.name.as_str() {
        "int" | "i4" | "i8" => {
            let number = typed.text.trim().parse();
            number.map(Value::Int).map_err(|_| format!("{:?} is no whole number", typed.text))
        }
        "boolean" => Ok(Value::Bool(typed.text.trim() == "1")),
        "array" => {
            let data = typed.child("data").ok_or("an array has no data")?;
            data.children.iter().map(value).collect::<Result<_, _>>().map(Value::Array)
        }
        "struct" => {
            let member = |node: &Node| -> Result<(String, Value), String> {
                let name = node.child("name").ok_or("a member has no name")?;
                let inner =
                    node.child("value").ok_or_else(|| format!("member {:?} has no value", name.text))?;
                Ok((name.text.clone(), value(inner)?))
            };
            typed.children.iter().map(member).collect::<Result<_, _>>().map(Value::Struct)
        }
        _ => Ok(Value::Text(typed.text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(value: &str) -> Result<Answer, String> {
        answer(&format!(
            "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value>{value}</value>\n</param>\n\
             </params>\n</methodResponse>\n"
        ))
    }

    #[test]
    fn an_answer_is_read_with_its_nested_values() {
        let text = "<array><data>\n<value><struct>\n<member>\n<name>name</name>\n\
                    <value><string>a &lt;b&gt; &amp; &#233;</string></value>\n</member>\n<member><name>pid</name>\
                    <value><int>12</int></value></member><member><name>up</name><value><boolean>1</boolean></value>\
                    </member><member><name>err</name><value><string/></value></member></struct></value>\n\
                    <value>plain</value></data></array>";
        let Ok(Answer::Value(Value::Array(items))) = response(text) else { panic!("{:?}", response(text)) };
        assert_eq!(items[0].text("name"), Some("a <b> & é"));
        assert_eq!(items[0].int("pid"), Some(12));
        assert_eq!(items[0].member("up"), Some(&Value::Bool(true)));
        assert_eq!(items[0].text("err"), Some(""));
        assert_eq!(items[1], Value::Text("plain".to_owned()));
    }

    #[test]
    fn a_fault_is_read_with_code_and_text() {
        let text = "<?xml version='1.0'?><methodResponse><fault><value><struct><member><name>faultCode</name>\
                    <value><int>60</int></value></member><member><name>faultString</name><value><string>\
                    ALREADY_STARTED: x</string></value></member></struct></value></fault></methodResponse>";
        assert_eq!(answer(text), Ok(Answer::Fault(60, "ALREADY_STARTED: x".to_owned())));
    }

    #[test]
    fn what_is_written_is_escaped_and_read_again() {
        let inner = Value::Struct(BTreeMap::from([("k<".to_owned(), Value::Bool(false))]));
        let given = Value::Array(vec![Value::Text("<&>'\"".to_owned()), Value::Int(-3), inner]);
        let mut xml = String::new();
        write_value(&mut xml, &given);
        let wrapped = format!("<methodResponse><params><param>{xml}</param></params></methodResponse>");
        assert_eq!(answer(&wrapped), Ok(Answer::Value(given)));
    }

    #[test]
    fn what_is_no_answer_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "empty"),
            ("plain text", "empty"),
            ("<a><b></a>", "no XML"),
            ("<methodCall/>", "instead of a methodResponse"),
            ("<methodResponse/>", "no value"),
            ("<methodResponse><params>", "early"),
        ] {
            let error = answer(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        assert!(response("<int>x</int>").unwrap_err().contains("whole number"));
        assert!(answer(&"<a>".repeat(100)).unwrap_err().contains("nested"));
    }
}
