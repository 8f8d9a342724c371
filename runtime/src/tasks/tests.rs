use std::{future::pending, rc::Rc};

use tokio::{sync::oneshot, task::LocalSet, time::Instant};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn joins_what_ends_in_time() {
    let tasks = Tasks::new();
    for seconds in [1, 3, 2] {
        tasks.spawn("sleeper", tokio::time::sleep(Duration::from_secs(seconds)));
    }
    assert_eq!(tasks.live(), 3);
    let start = Instant::now();
    assert!(tasks.join_all(DEADLINE).await.is_empty());
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(tasks.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn aborts_the_rest_at_the_deadline_and_names_it() {
    let tasks = Tasks::new();
    let (held, dropped) = oneshot::channel::<()>();
    tasks.spawn("stuck", async move {
        let _held = held;
        pending::<()>().await;
    });
    tasks.spawn("quick", async {});
    tasks.spawn("late", tokio::time::sleep(DEADLINE * 2));
    let start = Instant::now();
    assert_eq!(tasks.join_all(DEADLINE).await, ["stuck", "late"]);
    assert_eq!(start.elapsed(), DEADLINE);
    assert!(dropped.await.is_err(), "an aborted task lets go of what it holds");
    assert_eq!(tasks.live(), 0);

    tasks.spawn("after the end", pending());
    assert_eq!(tasks.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn joins_what_a_task_spawns_meanwhile() {
    let tasks = Tasks::new();
    let spawner = tasks.clone();
    tasks.spawn("parent", async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        spawner.spawn("child", tokio::time::sleep(Duration::from_secs(1)));
    });
    let start = Instant::now();
    assert!(tasks.join_all(DEADLINE).await.is_empty());
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn a_panic_ends_its_task_alone() {
    let tasks = Tasks::new();
    let (answer, answered) = oneshot::channel();
    let (go, gone) = oneshot::channel::<()>();
    tasks.spawn("broken", async move {
        let _go = go;
        panic!("on purpose");
    });
    tasks.spawn("sound", async move {
        let _ = gone.await;
        answer.send(()).unwrap();
    });
    answered.await.unwrap();
    assert!(tasks.join_all(DEADLINE).await.is_empty());
}

#[tokio::test]
async fn keeps_nothing_of_what_has_ended() {
    let tasks = Tasks::new();
    for _ in 0..1_000 {
        let (ended, wait) = oneshot::channel::<()>();
        tasks.spawn("short", async move { drop(ended) });
        let _ = wait.await;
        assert!(tasks.live() <= 1, "{} tasks are kept", tasks.live());
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_end_with_their_last_owner() {
    let tasks = Tasks::new();
    let other = tasks.clone();
    let (held, mut dropped) = oneshot::channel::<()>();
    tasks.spawn("orphan", async move {
        let _held = held;
        pending::<()>().await;
    });
    drop(tasks);
    tokio::task::yield_now().await;
    assert_eq!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    drop(other);
    assert!(dropped.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn local_tasks_need_not_be_send() {
    LocalSet::new()
        .run_until(async {
            let tasks = Tasks::new();
            let shared = Rc::new(());
            let moved = shared.clone();
            tasks.spawn_local("local", async move {
                tokio::task::yield_now().await;
                drop(moved);
            });
            tasks.spawn_local("stuck", pending());
            assert_eq!(tasks.join_all(DEADLINE).await, ["stuck"]);
            assert_eq!(Rc::strong_count(&shared), 1);
        })
        .await;
}

#[test]
fn spawning_while_the_runtime_ends_does_not_lock_up() {
    struct SpawnOnDrop(Tasks);
    impl Drop for SpawnOnDrop {
        fn drop(&mut self) {
            self.0.spawn("too late", pending());
        }
    }
    let tasks = Tasks::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let last = SpawnOnDrop(tasks.clone());
        tasks.spawn("spawns at its end", async move {
            let _last = last;
            pending::<()>().await;
        });
        tokio::task::yield_now().await;
    });
    drop(runtime);
    assert_eq!(tasks.live(), 0);
}

#[test]
fn panics_keep_their_text() {
    assert_eq!(panic_text(&"text"), "text");
    assert_eq!(panic_text(&"text".to_owned()), "text");
    assert_eq!(panic_text(&7), "without a message");
}
