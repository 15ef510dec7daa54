//! Process supervision and the agent manager, with real processes, a real broker and a real
//! supervisord.

mod helpers;
mod supervise;
