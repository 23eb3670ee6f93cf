//! Measures the CPU time of a response, compared with baseline servers, and the memory of the
//! service.
//!
//! The program and the baselines run as separate processes. Prints a table, checks the goals, and
//! draws `docs/performance.svg`. Arguments select parts: `hits`, `misses`, `footprint`, `growth`.
//! CI runs `instructions`. Linux only: it reads `/proc`.

mod aws;
mod baselines;
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

use std::path::Path;
use table::Goal;

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [flag, name, argument] = &arguments[..]
        && flag == "--baseline"
    {
        return baselines::run(name, argument).await;
    }
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("face-liveness-facade-wire-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let parts: Vec<_> = arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    let goals = measure(&folder, &parts).await;
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
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
        let (hits, hit_goals) = hits::measure(folder, &endpoint).await;
        chart::draw(&hits, "docs/performance.svg").expect("docs/ can be written to");
        goals.extend(hit_goals);
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
