//! What does an answer cost, in time on a processor, next to what any server must spend? And what
//! does the service take beside it?
//!
//! The program itself and the yardsticks, each in a process of its own, in the same run. Prints a
//! table, holds it against the goals, and draws the hits as `docs/performance.svg`. A word leaves
//! out the rest: `hits`, `misses`, `footprint`, `growth`; `instructions` is CI's gate. Linux only:
//! it reads `/proc`.

mod aws;
mod chart;
mod footprint;
mod growth;
mod hits;
mod instructions;
mod load;
mod misses;
mod process;
mod readers;
mod table;
mod yardsticks;

use std::path::Path;
use table::Goal;

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [flag, name, argument] = &arguments[..]
        && flag == "--yardstick"
    {
        return yardsticks::run(name, argument).await;
    }
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("face-liveness-facade-wire-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("there is room for files");
    let parts: Vec<_> = arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    let goals = measure(&folder, &parts).await;
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
    println!("{}", table::table(&goals));
    let missed: Vec<_> = goals.iter().filter_map(Goal::miss).collect();
    missed.iter().for_each(|sentence| println!("MISSED: {sentence}"));
    std::process::exit(i32::from(!missed.is_empty()));
}

async fn measure(folder: &Path, parts: &[&str]) -> Vec<Goal> {
    process::pin(std::process::id(), process::CALLER_CORE);
    let endpoint = aws::start().await;
    if parts.contains(&"instructions") {
        return instructions::measure(folder, &endpoint).await;
    }
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    let mut goals = Vec::new();
    if wanted("hits") {
        let (hits, reached) = hits::measure(folder, &endpoint).await;
        chart::draw(&hits, "docs/performance.svg").expect("docs/ can be written to");
        goals.extend(reached);
    }
    if wanted("misses") {
        goals.push(misses::measure(&endpoint).await);
    }
    if wanted("footprint") {
        goals.extend(footprint::measure(folder, &endpoint).await);
    }
    if wanted("growth") {
        goals.extend(growth::measure(&endpoint).await);
    }
    goals
}
