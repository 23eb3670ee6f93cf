//! A redis-server on a port that the system chooses, with a temporary folder.

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
    /// Starts a redis-server without authentication.
    pub fn start() -> Self {
        Self::with(|_, port| format!("port {port}"))
    }

    /// Starts a redis-server with these lines of configuration. The closure gets the folder and a
    /// free port.
    pub fn with(configuration: impl FnOnce(&PathBuf, u16) -> String) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let folder = std::env::temp_dir().join(format!("face-liveness-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let own = format!("bind 127.0.0.1\ndir {}\nsave \"\"\nappendonly no\nport 0\n", folder.display());
        let file = folder.join("redis.conf");
        fs::write(&file, own + &configuration(&folder, port)).expect("the folder is writable");
        let flags = vec![file.display().to_string()];
        Self { child: spawn(&flags), port, folder, flags }
    }

    /// Waits until it accepts connections.
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

    /// Runs a command, as an operator would.
    pub fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.command_bytes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    /// Runs a command with arguments that need not be text.
    pub fn command_bytes<T: redis::FromRedisValue>(&self, words: &[&[u8]]) -> T {
        let client = redis::Client::open(self.url()).expect("a valid URL");
        let mut connection = client.get_connection().expect("it listens");
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query(&mut connection).expect("a reply")
    }

    /// Kills it. Its data is lost.
    pub fn kill(&mut self) {
        self.child.kill().expect("redis-server runs");
        self.child.wait().expect("redis-server exits");
    }

    /// Starts it again on the same port, without data.
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
