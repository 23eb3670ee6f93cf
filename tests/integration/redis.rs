//! A store under test: a redis-server on a port of the system's choice, with all that it holds in a
//! folder that ends with the test.

use std::{
    fs,
    io::ErrorKind,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

pub struct Redis {
    child: Child,
    pub port: u16,
    pub folder: PathBuf,
    flags: Vec<String>,
}

impl Redis {
    /// A store that everybody on this machine may ask.
    pub fn start() -> Self {
        Self::with(|_, port| format!("port {port}"))
    }

    /// A store with these lines of configuration; who writes them is told the folder and a free
    /// port.
    pub fn with(configuration: impl FnOnce(&PathBuf, u16) -> String) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let folder = std::env::temp_dir().join(format!("face-liveness-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("there is a folder for temporary files");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let own = format!("bind 127.0.0.1\ndir {}\nsave \"\"\nappendonly no\nport 0\n", folder.display());
        let file = folder.join("redis.conf");
        fs::write(&file, own + &configuration(&folder, port)).expect("the folder can be written");
        let flags = vec![file.display().to_string()];
        Self { child: spawn(&flags), port, folder, flags }
    }

    /// Waits until it answers.
    pub fn ready(self) -> Self {
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "redis-server never listened");
            std::thread::sleep(Duration::from_millis(2));
        }
        self
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Asks it something, as an operator would.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.ask_bytes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    /// The same with words that need not be text.
    pub fn ask_bytes<T: redis::FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let client = redis::Client::open(self.url()).expect("a sound URL");
        let mut connection = client.get_connection().expect("it listens");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query(&mut connection).expect("it answers")
    }

    /// Ends it at once, with all that it holds.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Starts it again on the same port, empty.
    pub fn restart(&mut self) {
        self.child = spawn(&self.flags);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn spawn(flags: &[String]) -> Child {
    let spawned = Command::new("redis-server").args(flags).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("the tests of the shared cache need a redis-server: install it with `apt-get install redis-server`")
        }
        spawned => spawned.expect("redis-server starts"),
    }
}
