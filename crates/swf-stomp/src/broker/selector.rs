//! Conditions on message headers: the part of the JMS selector language that testbeds use.

use crate::Headers;

/// What an unsupported selector is answered with.
const SUPPORTED: &str = "supported are conditions joined by AND: name = 'text', name <> 'text', \
     name = 5 (also <>, <, <=, >, >=), name = TRUE, name IN ('a', 'b'), name NOT IN ('a', 'b')";

/// Conditions that must all hold. One on a header that the message lacks never holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selector(Vec<Condition>);

#[derive(Debug, Clone, PartialEq)]
struct Condition {
    header: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Text { equal: bool, value: String },
    Number { comparison: Comparison, value: f64 },
    OneOf { member: bool, values: Vec<String> },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(f64),
    Comparison(Comparison),
    Open,
    Close,
    Comma,
}

impl Selector {
    /// Reads a selector; the error names what is supported.
    pub fn parse(text: &str) -> Result<Self, String> {
        tokens(text)
            .and_then(|tokens| conditions(&mut tokens.into_iter().peekable()))
            .map(Self)
            .ok_or_else(|| format!("selector {text:?} is not understood; {SUPPORTED}"))
    }

    /// Whether the headers fulfil every condition.
    pub fn matches(&self, headers: &Headers) -> bool {
        self.0.iter().all(|condition| {
            headers.get(&condition.header).is_some_and(|value| match &condition.test {
                Test::Text { equal, value: wanted } => (value == wanted) == *equal,
                Test::Number { comparison, value: wanted } => {
                    value.trim().parse::<f64>().is_ok_and(|number| comparison.holds(number, *wanted))
                }
                Test::OneOf { member, values } => values.iter().any(|wanted| wanted == value) == *member,
            })
        })
    }
}

impl Comparison {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;

fn conditions(tokens: &mut Tokens) -> Option<Vec<Condition>> {
    let mut list = vec![condition(tokens)?];
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) if word.eq_ignore_ascii_case("and") => list.push(condition(tokens)?),
            _ => return None,
        }
    }
    Some(list)
}

fn condition(tokens: &mut Tokens) -> Option<Condition> {
    let Token::Word(header) = tokens.next()? else { return None };
    let test = match tokens.next()? {
        Token::Comparison(comparison) => comparison_test(comparison, tokens.next()?)?,
        Token::Word(word) if word.eq_ignore_ascii_case("in") => {
            Test::OneOf { member: true, values: list(tokens)? }
        }
        Token::Word(word) if word.eq_ignore_ascii_case("not") => match tokens.next()? {
            Token::Word(word) if word.eq_ignore_ascii_case("in") => {
                Test::OneOf { member: false, values: list(tokens)? }
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(Condition { header, test })
}

fn comparison_test(comparison: Comparison, value: Token) -> Option<Test> {
    let equal = match comparison {
        Comparison::Equal => Some(true),
        Comparison::Unequal => Some(false),
        _ => None,
    };
    match value {
        Token::Number(value) => Some(Test::Number { comparison, value }),
        Token::Text(value) => Some(Test::Text { equal: equal?, value }),
        Token::Word(word) if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") => {
            Some(Test::Text { equal: equal?, value: word.to_ascii_lowercase() })
        }
        _ => None,
    }
}

fn list(tokens: &mut Tokens) -> Option<Vec<String>> {
    if tokens.next()? != Token::Open {
        return None;
    }
    let mut values = Vec::new();
    loop {
        let Token::Text(value) = tokens.next()? else { return None };
        values.push(value);
        match tokens.next()? {
            Token::Comma => {}
            Token::Close => return Some(values),
            _ => return None,
        }
    }
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut list = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let mut followed_by = |wanted: char| chars.next_if_eq(&wanted).is_some();
        list.push(match char {
            _ if char.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' => Token::Comparison(Comparison::Equal),
            '<' if followed_by('>') => Token::Comparison(Comparison::Unequal),
            '<' if followed_by('=') => Token::Comparison(Comparison::LessOrEqual),
            '<' => Token::Comparison(Comparison::Less),
            '>' if followed_by('=') => Token::Comparison(Comparison::GreaterOrEqual),
            '>' => Token::Comparison(Comparison::Greater),
            '\'' => {
                let mut value = String::new();
                loop {
                    match chars.next()? {
                        // A doubled quote stands for one.
                        '\'' if chars.next_if_eq(&'\'').is_some() => value.push('\''),
                        '\'' => break Token::Text(value),
                        other => value.push(other),
                    }
                }
            }
            _ => {
                let mut word = String::from(char);
                while let Some(next) = chars.next_if(|next| next.is_alphanumeric() || "_-.$".contains(*next))
                {
                    word.push(next);
                }
                if char.is_ascii_digit() || (matches!(char, '-' | '+' | '.') && word.len() > 1) {
                    Token::Number(word.parse().ok()?)
                } else if char.is_alphabetic() || "_$".contains(char) {
                    Token::Word(word)
                } else {
                    return None;
                }
            }
        });
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selects(selector: &str) -> bool {
        let headers =
            [("msg_type", "stf_gen"), ("run", "7"), ("ok", "true"), ("it's", "x")].into_iter().collect();
        Selector::parse(selector).unwrap().matches(&headers)
    }

    #[test]
    fn conditions_are_joined_by_and() {
        assert!(selects("msg_type = 'stf_gen'"));
        assert!(selects("msg_type='stf_gen' AND run = 7 and ok = TRUE"));
        assert!(!selects("msg_type = 'stf_gen' AND run = 8"));
        assert!(selects("msg_type <> 'x' AND run <> 8"));
        assert!(selects("run >= 7 AND run <= 7.0 AND run > -1 AND run < 1e3"));
        assert!(selects("msg_type IN ('a', 'stf_gen')"));
        assert!(selects("msg_type NOT IN ('a','b')"));
    }

    #[test]
    fn a_condition_on_an_absent_header_never_holds() {
        assert!(!selects("absent = 'x'"));
        assert!(!selects("absent <> 'x'"));
        assert!(!selects("absent NOT IN ('x')"));
    }

    #[test]
    fn a_doubled_quote_is_one_quote() {
        let headers = [("a", "it's")].into_iter().collect();
        assert!(Selector::parse("a = 'it''s'").unwrap().matches(&headers));
    }

    #[test]
    fn what_is_not_supported_is_refused_with_what_is() {
        for wrong in [
            "",
            "a",
            "a = ",
            "a = 'x' OR b = 'y'",
            "a LIKE 'x%'",
            "a = 'open",
            "a IN ()",
            "a < 'x'",
            "(a = 1)",
        ] {
            let error = Selector::parse(wrong).unwrap_err();
            assert!(error.contains("joined by AND"), "{wrong}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = Selector::parse(&text);
        }
    }
}
