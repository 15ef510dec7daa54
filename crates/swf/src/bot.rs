//! `swf bot` and `swf ask`: the chat bot, built from the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use swf_bot::{Bot, Chat, ChatConfig, Config, HOME, ModelConfig, ServerSpec, Way};
use tokio_util::sync::CancellationToken;

use crate::config::BotServer;
use crate::roles::Role;

/// Characters of one post that Mattermost takes.
const POST: usize = 16_383;
/// One request to the model may take so long.
const MODEL_TIMEOUT: Duration = Duration::from_secs(180);
/// First wait before a request to the model is tried again.
const MODEL_WAIT: Duration = Duration::from_secs(1);

impl Role {
    /// Runs the bot in Mattermost.
    pub async fn bot(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let section = &self.loaded.config.bot;
        let url = match section.mattermost_url.as_str() {
            url if url.contains("://") => url.to_owned(),
            host => format!("https://{host}"),
        };
        let chat = ChatConfig {
            url,
            token: section.mattermost_token.clone(),
            team: section.team.clone(),
            channel: section.channel.clone(),
            concurrent: section.concurrent_threads,
            post_limit: POST,
        };
        let bot = Bot::start(self.bot_config()?)?;
        let entered = tokio::select! {
            entered = Chat::enter(Arc::new(bot), chat) => entered?,
            () = shutdown.cancelled() => return Ok(()),
        };
        entered.run(shutdown).await;
        Ok(())
    }

    /// Answers one question on the terminal, without Mattermost and without memory.
    pub async fn ask(&self, question: &str) -> anyhow::Result<()> {
        let config = Config { threads_file: None, memory_turns: 0, ..self.bot_config()? };
        let bot = Bot::start(config)?;
        let answer = bot.ask(question).await;
        if answer.failed {
            bail!("{}", answer.body);
        }
        println!("{}", answer.text());
        Ok(())
    }

    fn bot_config(&self) -> anyhow::Result<Config> {
        let section = &self.loaded.config.bot;
        let mut monitor = self.monitor()?;
        let endpoint = match section.mcp_url.trim_end_matches('/') {
            "" => format!("{}/mcp/", monitor.base_url.trim_end_matches('/')),
            url => {
                monitor.base_url = url.strip_suffix("/mcp").unwrap_or(url).to_owned();
                format!("{url}/")
            }
        };
        if !section.mcp_token.is_empty() {
            monitor.token = Some(section.mcp_token.clone());
        }
        let mut servers = vec![ServerSpec {
            name: HOME.into(),
            way: Way::Http { url: endpoint, token: monitor.token.clone() },
            prefix: String::new(),
            keywords: Vec::new(),
            allow: section.tools.clone(),
        }];
        let variables: BTreeMap<String, String> = std::env::vars().collect();
        for (name, server) in &section.servers {
            if name == HOME {
                bail!("bot.servers.{HOME}: this name is the monitor's; choose another");
            }
            servers.extend(program(name, server, &variables)?);
        }
        let given = |text: &str| Some(PathBuf::from(text)).filter(|p| !p.as_os_str().is_empty());
        Ok(Config {
            servers,
            model: ModelConfig {
                url: section.anthropic_url.clone(),
                key: section.anthropic_api_key.clone(),
                model: section.model.clone(),
                max_tokens: section.max_tokens.max(1),
                timeout: MODEL_TIMEOUT,
                first_wait: MODEL_WAIT,
            },
            monitor,
            system_prompt: given(&section.system_prompt),
            tool_timeout: Duration::from_secs(section.tool_timeout_seconds.max(1)),
            turn_timeout: Duration::from_secs(section.turn_timeout_seconds.max(1)),
            memory_user: section.memory_user.clone(),
            memory_turns: section.memory_turns,
            threads_file: Some(self.files.path("bot-threads.json")),
        })
    }
}

/// A configured program with exactly the variables that it is given; without one of them it is left out.
fn program(
    name: &str,
    server: &BotServer,
    variables: &BTreeMap<String, String>,
) -> anyhow::Result<Option<ServerSpec>> {
    if server.command.is_empty() {
        bail!("bot.servers.{name}: command is missing; name the program that serves the tools");
    }
    let mut env = Vec::new();
    for usual in ["PATH", "HOME"] {
        env.extend(variables.get(usual).map(|value| (usual.to_owned(), value.clone())));
    }
    for wanted in &server.env {
        match (wanted.split_once('='), variables.get(wanted)) {
            (Some((key, value)), _) => env.push((key.to_owned(), value.to_owned())),
            (None, Some(value)) => env.push((wanted.clone(), value.clone())),
            (None, None) => {
                tracing::warn!(
                    "bot.servers.{name}: the variable {wanted} is not set; the server is left out"
                );
                return Ok(None);
            }
        }
    }
    Ok(Some(ServerSpec {
        name: name.to_owned(),
        way: Way::Program { command: server.command.clone(), args: server.args.clone(), env },
        prefix: server.prefix.clone(),
        keywords: server.keywords.clone(),
        allow: server.allow.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_the_variables_it_is_given_and_no_others() {
        let variables: BTreeMap<String, String> =
            [("PATH", "/bin"), ("HOME", "/home/x"), ("ANTHROPIC_API_KEY", "secret"), ("ZENODO_API_KEY", "z")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into();
        let mut server = BotServer {
            command: "server".into(),
            env: vec!["ZENODO_API_KEY".into(), "MODE=quiet".into()],
            ..BotServer::default()
        };
        let spec = program("zenodo", &server, &variables).unwrap().unwrap();
        let Way::Program { env, .. } = spec.way else { panic!("a program") };
        let names: Vec<&str> = env.iter().map(|(k, _)| k.as_str()).collect();
        assert_eq!(names, ["PATH", "HOME", "ZENODO_API_KEY", "MODE"]);
        server.env.push("NOT_SET".into());
        assert!(program("zenodo", &server, &variables).unwrap().is_none());
        assert!(program("none", &BotServer::default(), &variables).is_err());
    }
}
