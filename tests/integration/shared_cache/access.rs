//! Access to Redis: over TLS, and with a user that has only the required permissions.

use super::{Replicas, key_line, load::Load, replicas::wait_until_up};
use crate::{
    certificates::{Authority, Secret},
    facade::{Facade, eventually},
    redis::Redis,
};
use face_liveness_facade::simulator::{self, Simulator};
use std::{fs, path::Path, time::Duration};

/// The commands that the documentation requires for the user.
const COMMANDS: [&str; 10] = ["eval", "get", "set", "del", "pttl", "pexpire", "time", "hset", "hmget", "ping"];

/// An optional command: clients identify themselves since Redis 7.2, and ignore if that is denied.
const OPTIONAL: &str = "client|setinfo";

/// Creates or replaces a user with these commands.
fn create_user(redis: &Redis, name: &str, password: &str, commands: &[&str]) {
    let (password, commands) = (format!(">{password}"), commands.iter().map(|command| format!("+{command}")));
    let commands: Vec<_> = commands.collect();
    let fixed = ["ACL", "SETUSER", name, "reset", "on", &password, "~face-liveness:1:*", "-@all"];
    let words: Vec<_> = fixed.into_iter().chain(commands.iter().map(String::as_str)).collect();
    redis.command::<()>(&words);
}

/// Starts replicas that use this Redis.
async fn replicas(count: usize, flags: &[&str], redis: Redis) -> Replicas {
    Replicas::with(count, flags, simulator::Config::default(), redis).await
}

/// Starts a replica, whether or not it can use this Redis.
async fn replica(redis: &Redis, flags: &[&str]) -> Facade {
    let (url, key) = (redis.url(), redis.folder.join("key").display().to_string());
    fs::write(&key, key_line(1)).expect("the folder is writable");
    let own = ["--shared-cache-url", &url, "--shared-cache-key-file", &key, "--shared-cache-timeout", "1s"];
    let simulator = Simulator::new(simulator::Config::default());
    Facade::with_endpoint("http://127.0.0.1:1", simulator, &[&own[..], flags].concat()).await
}

async fn assert_stays_down(facade: &Facade) {
    eventually("it is ready", async || crate::admin::get(facade.admin_address, "/readyz").await.0 == 200).await;
    assert_eq!(facade.metric("face_liveness_shared_cache_up").await, 0.0);
}

#[tokio::test]
async fn the_documented_redis_commands_are_sufficient() {
    let redis = Redis::start().ready();
    create_user(&redis, "facade", "secret", &COMMANDS);
    let flags = ["--shared-cache-username", "facade", "--shared-cache-password", "secret"];
    let flags = [&flags[..], &["--shared-cache-images", "true", "--quota-tps", "1000"]].concat();
    let replicas = replicas(2, &flags, redis).await;
    let load = Load::on(replicas.all.iter().map(|replica| replica.address.to_string()), &replicas.simulator).await;
    let sessions = load.advance(20).await;
    assert_eq!(load.reads(&sessions), [1; 20]);
    load.assert_no_failures(Duration::from_secs(2));
    let log: Vec<Vec<redis::Value>> = replicas.redis.command(&["ACL", "LOG"]);
    let text = format!("{log:?}");
    let denied = log.iter().filter(|entry| !format!("{entry:?}").contains(OPTIONAL)).count();
    assert_eq!(denied, 0, "{text}");
}

#[tokio::test]
async fn without_any_documented_command_the_shared_cache_stays_down() {
    let redis = Redis::start().ready();
    for missing in COMMANDS {
        let rest: Vec<_> = COMMANDS.into_iter().filter(|command| *command != missing).collect();
        create_user(&redis, missing, "secret", &rest);
        let flags = ["--shared-cache-username", missing, "--shared-cache-password", "secret"];
        assert_stays_down(&replica(&redis, &flags).await).await;
    }
}

#[tokio::test]
async fn with_a_wrong_password_the_shared_cache_stays_down() {
    let redis = Redis::start().ready();
    create_user(&redis, "facade", "secret", &COMMANDS);
    let facade = replica(&redis, &["--shared-cache-username", "facade", "--shared-cache-password", "wrong"]).await;
    assert_stays_down(&facade).await;
}

#[tokio::test]
async fn credentials_in_files_are_rotated_without_failed_calls() {
    let redis = Redis::start().ready();
    create_user(&redis, "first", "one", &COMMANDS);
    let [name, password] = ["user", "password"].map(|file| redis.folder.join(file));
    let write = |file: &Path, text: &str| {
        let new = file.with_extension("new");
        fs::write(&new, text).expect("the folder is writable");
        fs::rename(new, file).expect("both are in one folder");
    };
    write(&name, "first\n");
    write(&password, "one\n");
    let [name_file, password_file] = [&name, &password].map(|file| file.display().to_string());
    let files = ["--shared-cache-username-file", &name_file, "--shared-cache-password-file", &password_file];
    let flags = [&files[..], &["--quota-tps", "0"]].concat();
    let replicas = replicas(2, &flags, redis).await;
    let redis = &replicas.redis;
    let load = Load::on(replicas.all.iter().map(|replica| replica.address.to_string()), &replicas.simulator).await;
    let connected = |name: &str| {
        let clients: String = redis.command(&["CLIENT", "LIST"]);
        clients.matches(&format!(" user={name} ")).count()
    };
    load.advance(10).await;
    // A rotation: the new credentials are valid before the old ones are removed, and the two files
    // do not change at the same time.
    create_user(redis, "second", "two", &COMMANDS);
    write(&name, "second");
    write(&password, "two");
    eventually("all connections use the new user", async || connected("second") >= 2 && connected("first") == 0).await;
    redis.command::<()>(&["ACL", "DELUSER", "first"]);
    for replica in &replicas.all {
        wait_until_up(replica).await;
    }
    let sessions = load.advance(10).await;
    assert_eq!(load.reads(&sessions), [1; 10]);
    load.assert_no_failures(Duration::from_secs(3));
}

/// Starts Redis with TLS. Returns it with its TLS port; its plaintext port is for this test.
fn redis_with_tls(secret: &Secret) -> (Redis, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let tls_port = port.expect("a free port").port();
    let files = secret.files();
    let (cert, key) = (files.cert.display().to_string(), files.key.display().to_string());
    let redis = Redis::with(|_, port| {
        format!(
            "port {port}\ntls-port {tls_port}\ntls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {cert}\n\
             tls-auth-clients no"
        )
    });
    (redis.ready(), tls_port)
}

fn ca(redis: &Redis, authority: &Authority) -> String {
    let file = redis.folder.join("ca.pem");
    fs::write(&file, &authority.pem).expect("the folder is writable");
    file.display().to_string()
}

fn certificate(authority: &Authority) -> Secret {
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a valid address");
    Secret::new(&authority.issue(params), "")
}

#[tokio::test]
async fn a_tls_redis_with_a_certificate_of_the_ca_is_used() {
    let authority = Authority::new();
    let secret = certificate(&authority);
    let (redis, port) = redis_with_tls(&secret);
    let (ca, url) = (ca(&redis, &authority), format!("rediss://127.0.0.1:{port}"));
    let replicas = replicas(2, &["--shared-cache-url", &url, "--shared-cache-ca", &ca], redis).await;
    replicas.simulator.place(super::succeeded(crate::facade::id(1)));
    for replica in &replicas.all {
        replica.get(&crate::facade::id(1)).await.expect("a response");
    }
    assert_eq!(replicas.simulator.reads(), 1);
}

#[tokio::test]
async fn a_tls_redis_with_an_untrusted_certificate_is_never_used() {
    let secret = certificate(&Authority::new());
    let (redis, port) = redis_with_tls(&secret);
    let (ca, url) = (ca(&redis, &Authority::new()), format!("rediss://127.0.0.1:{port}"));
    assert_stays_down(&replica(&redis, &["--shared-cache-url", &url, "--shared-cache-ca", &ca]).await).await;
    assert_stays_down(&replica(&redis, &["--shared-cache-url", &url]).await).await;
}
