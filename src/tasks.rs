//! Long-lived tasks. Each has a name, and none is expected to end.

use std::collections::HashMap;
use tokio::task::{Id, JoinSet};

/// The long-lived tasks of a server. Dropping it aborts them.
#[derive(Default)]
pub struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Waits until a task ends or panics. Returns one sentence for an operator.
    pub async fn failure(&mut self) -> String {
        match self.running.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, ()))) => format!("the task {:?} ended", self.names[&id]),
            Some(Err(error)) => format!("the task {:?} panicked", self.names[&error.id()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, time::Duration};
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_task_that_ends_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("cache maintenance", pending());
        tasks.spawn("rate limiter", async {});
        assert_eq!(tasks.failure().await, r#"the task "rate limiter" ended"#);
    }

    #[tokio::test]
    async fn a_task_that_panics_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("cache maintenance", pending());
        tasks.spawn("rate limiter", async { panic!("a defect") });
        assert_eq!(tasks.failure().await, r#"the task "rate limiter" panicked"#);
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_run_are_no_failure() {
        let mut tasks = Tasks::default();
        timeout(Duration::from_secs(60), tasks.failure()).await.expect_err("there is no task");
        tasks.spawn("cache maintenance", pending());
        timeout(Duration::from_secs(60), tasks.failure()).await.expect_err("the task runs");
    }
}
