//! The steps of `docs/scale-out.md`, done as a person does them.

use crate::packaging::tool;
use crate::runbook::{Person, free_ports, section, steps};
use testkit::{Folder, Postgres, has_curl, repository};

#[test]
fn who_follows_the_manual_gets_two_workers_kills_one_and_sees_deliveries_go_on() {
    if !has_curl() || tool("seq", ["1"]).is_none() {
        return;
    }
    let Some(postgres) = Postgres::start(&["fsync = off"]) else {
        return;
    };
    let manual = std::fs::read_to_string(repository("docs/scale-out.md")).expect("it is there");
    let section = section(&manual, "\n## Two workers, step by step\n");
    let (_, sql) = section.split_once("```sql\n").expect("a role is made");
    let (sql, _) = sql.split_once("```").expect("the block ends");
    postgres.query(sql);
    let ports = free_ports().take(5).map(|port| format!("127.0.0.1:{port}"));
    let ports: Vec<String> = ports.collect();
    let database = format!("127.0.0.1:{}", postgres.port());
    let places = [
        ("127.0.0.1:5432", &*database),
        ("127.0.0.1:5000", &*ports[0]),
        ("127.0.0.1:8081", &*ports[1]),
        ("127.0.0.1:8082", &*ports[2]),
        ("127.0.0.1:9481", &*ports[3]),
        ("127.0.0.1:9482", &*ports[4]),
    ];
    let folder = Folder::new();
    let typed = Person::new(&folder, &places).follow(steps(&section), |_, _| {});
    assert!(typed > 12, "{typed} commands");
}
