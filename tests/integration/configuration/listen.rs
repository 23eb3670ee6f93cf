//! The unspecified IPv6 address, in a network namespace of the program's own.

use crate::program::{Running, program, scripted};

/// Runs `"$@"` in a new network namespace, whose sockets reject IPv4 by default. Without root, this
/// needs a user namespace, too.
const NAMESPACE: &str = r#"
    unshare --net true && new="unshare --net" || new="unshare --user --map-root-user --net"
    exec $new sh -c 'echo 1 >/proc/sys/net/ipv6/bindv6only && ip link set lo up && exec "$@"' sh "$@"
"#;

/// Runs the health command `$1` in the namespace of the process `$2`, against its ports `$3` and
/// `$4`, over IPv6 and IPv4.
const HEALTH: &str = r#"
    program=$1 join="nsenter --target $2 --net"
    $join true || join="nsenter --target $2 --user --preserve-credentials --net"
    for port in "$3" "$4"; do
        for host in "[::1]" 127.0.0.1; do
            $join "$program" health --service "" --address "$host:$port" 2>&1
        done
    done
"#;

#[test]
fn the_unspecified_address_accepts_ipv4_whatever_bindv6only_says() {
    let arguments =
        ["serve", "--listen", "[::]:0", "--admin-listen", "[::]:0", "--log-format", "json", "--drain-delay", "0s"];
    let running = Running::start(scripted(NAMESPACE, &arguments).env("AWS_REGION", "us-east-1"));
    let port = |address: &str| address.strip_prefix("[::]:").expect("it listens on all addresses").to_owned();
    let (port, admin_port) = (port(&running.address), port(&running.admin_address));
    let output = scripted(HEALTH, &[&running.pid().to_string(), &port, &admin_port]).output().expect("a shell");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "SERVING\n".repeat(4));
}

#[test]
fn an_address_of_another_machine_exits_1_and_names_the_flag() {
    for arguments in [["--listen", "192.0.2.1:0"], ["--admin-listen", "192.0.2.1:0"]] {
        let own = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let output = program(&[&own[..], &arguments].concat()).output().expect("the program runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
        assert!(stderr.contains(arguments[0]) && stderr.contains(arguments[1]), "{stderr}");
    }
}
