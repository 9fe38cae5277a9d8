//! What single requests have Postgres do, as scripts for pgbench.

use crate::baseline::HOARDER;
use crate::statements::Statements;

/// A request's statements.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// Whose tables they use.
    pub schema: &'static str,
    /// The script, for books of so many members.
    pub text: fn(&Statements, u32) -> anyhow::Result<String>,
}

/// Earn or use points of any account, under a key.
pub const EARN_OR_USE: Script = Script { schema: "point", text: earn_or_use };
/// Use points of always the same account, under a key.
pub const USE_OF_ONE: Script = Script { schema: "point", text: use_of_one };
/// Join.
pub const JOIN: Script = Script { schema: "member", text: join };
/// Look at a member.
pub const MEMBER: Script = Script { schema: "member", text: member };
/// Look at an account.
pub const ACCOUNT: Script = Script { schema: "point", text: account };
/// Look at a page.
pub const PAGE: Script = Script { schema: "mypage", text: page };

/// An event of points, as pgbench's variable `payload`.
pub const PAYLOAD: &str = r#"{"memberId":50000,"membershipId":"0193a3a5-6b7c-7d8e-9f00-112233445566","amount":10,"remainPoint":1010,"entryType":"EARN","occurredAt":"2026-11-25T08:09:10.123456Z","transactionId":100000,"reference":"R-1000000000000000000","lots":[{"lotId":100000,"points":10,"expiresAt":"2031-11-30T15:00:00Z"}],"nextExpiration":{"points":1000,"expiresAt":"2031-11-30T15:00:00Z"}}"#;
/// What is remembered under a key, as pgbench's variable `answer`.
pub const ANSWER: &str = r#"{"status":201,"location":"/points/50000/transactions/100000","body":{"transactionId":100000,"type":"EARN","amount":10,"remainPoint":1010,"reference":"R-1000000000000000000","occurredAt":"2026-11-25T08:09:10.123456Z","lots":[{"lotId":100000,"points":10,"expiresAt":"2031-11-30T15:00:00Z"}],"_links":{"self":{"href":"/points/50000/transactions/100000"},"transaction":{"href":"/points/50000/transactions/100000"}}}}"#;

/// The ids of events begin with the time, as a UUID of version 7: the index of an inbox grows at its end.
pub const TIME_ORDERED_ID: &str = "encode(substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) \
                                          || substring(uuid_send(gen_random_uuid()) FROM 7), 'hex')::uuid";
/// The first id of a lot that is not stored yet, as the service has it.
const UNSTORED: &str = "4611686018427387904";
const KEY: &str = r"\set key random(1, 9000000000000000000)";
const MEMBERSHIP: &str = "ARRAY[:membership_id]";
const KEY_HASH: &str = "ARRAY[sha256(:key::text::bytea)]";

fn any_member(members: u32) -> String {
    format!(r"\set member random(1, {members})")
}

/// One statement a paragraph.
fn script(parts: &[&str]) -> String {
    parts.join("\n\n") + "\n"
}

fn earn_or_use(statements: &Statements, members: u32) -> anyhow::Result<String> {
    Ok(script(&[
        KEY,
        &any_member(members),
        r"\set is_earning random(0, 1)",
        &before_booking(statements)?,
        r"\if :is_earning",
        &book(statements, &EARNING)?,
        r"\else",
        &book(statements, &USE)?,
        r"\endif",
        &after_booking(statements)?,
    ]))
}

fn use_of_one(statements: &Statements, _members: u32) -> anyhow::Result<String> {
    Ok(script(&[
        KEY,
        &format!(r"\set member {HOARDER}"),
        &before_booking(statements)?,
        &book(statements, &USE)?,
        &after_booking(statements)?,
    ]))
}

fn before_booking(statements: &Statements) -> anyhow::Result<String> {
    let lock = statements.with("SELECT lock AS", &["ARRAY[:key]"])?;
    let account = statements.with(
        "SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited \
         FROM account WHERE member_id = $1 AND closed_at IS NULL FOR UPDATE",
        &[":member"],
    )?;
    let lots =
        statements.with("SELECT membership_id, lot_id, remaining, expires_at FROM lot", &[MEMBERSHIP])?;
    let recorded = statements.with("SELECT id, body_hash, answer FROM idempotency_key", &[KEY_HASH])?;
    let receipts = statements.with(
        "SELECT entry.membership_id, entry.type AS entry_type",
        &[MEMBERSHIP, "ARRAY['EARN']", "ARRAY['R-' || :key::text]"],
    )?;
    Ok(format!("BEGIN;\n\n{lock};\n\n{account} \\gset\n\n{lots};\n\n{recorded};\n\n{receipts};"))
}

/// What differs between earning and using.
struct Booked {
    entry_type: &'static str,
    amount: &'static str,
    balance: &'static str,
    /// A new lot: whose, of which entry, how many points, remaining, earned and expiring when, replacing which.
    new_lot: [&'static str; 7],
    /// A lot of old that is changed, and by how much.
    changed: [&'static str; 2],
    moved_lot: &'static str,
}

const EARNING: Booked = Booked {
    entry_type: "ARRAY['EARN']",
    amount: "ARRAY[10]",
    balance: "ARRAY[:balance::bigint + 10]",
    new_lot: [
        MEMBERSHIP,
        "ARRAY[1]",
        "ARRAY[10]",
        "ARRAY[10]",
        "ARRAY[now()]",
        "ARRAY[now() + interval '60 months']",
        "ARRAY[NULL]",
    ],
    changed: ["'{}'", "'{}'"],
    moved_lot: "ARRAY[4611686018427387904]",
};

/// The first lot of a member has the member's id.
const USE: Booked = Booked {
    entry_type: "ARRAY['USE']",
    amount: "ARRAY[-10]",
    balance: "ARRAY[:balance::bigint - 10]",
    new_lot: ["'{}'"; 7],
    changed: ["ARRAY[:member]", "ARRAY[-10]"],
    moved_lot: "ARRAY[:member]",
};

fn book(statements: &Statements, booked: &Booked) -> anyhow::Result<String> {
    let Booked { entry_type, amount, balance, new_lot, changed, moved_lot } = *booked;
    let account = [
        MEMBERSHIP,
        balance,
        "ARRAY[:version::bigint + 1]",
        "ARRAY['NORMAL']",
        "ARRAY[1]",
        "ARRAY[false]",
        "ARRAY[NULL]",
        "ARRAY[now()]",
    ];
    let entry = [
        MEMBERSHIP,
        entry_type,
        amount,
        balance,
        "ARRAY['R-' || :key::text]",
        "ARRAY[NULL]",
        "ARRAY[NULL]",
        "ARRAY[NULL]",
        "ARRAY['bench']",
        "ARRAY[now()]",
    ];
    let moved = ["ARRAY[1]", moved_lot, amount, UNSTORED];
    let arguments = [&account[..], &entry, &new_lot, &changed, &moved].concat();
    Ok(format!("{};", statements.with("WITH changed AS ( UPDATE account", &arguments)?))
}

fn after_booking(statements: &Statements) -> anyhow::Result<String> {
    let event =
        outbox(statements, "PointsEarned", "point", ":member", ":version::bigint + 1", ":membership_id")?;
    let body_hash = "ARRAY[sha256('{}')]";
    let record = statements.with("INSERT INTO idempotency_key", &[KEY_HASH, body_hash, "ARRAY[:answer]"])?;
    Ok(format!("{event};\n\n{record};\n\nCOMMIT;"))
}

fn outbox(
    statements: &Statements,
    event_type: &str,
    topic: &str,
    member: &str,
    version: &str,
    membership: &str,
) -> anyhow::Result<String> {
    let arguments = [
        TIME_ORDERED_ID,
        &format!("'{event_type}'"),
        &format!("'{topic}'"),
        &format!("({member})::text"),
        version,
        membership,
        ":payload",
        "'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'",
        "'bench'",
    ];
    statements.with("INSERT INTO outbox", &arrays(&arguments))
}

/// Each argument as an array of one.
fn arrays(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| format!("ARRAY[{argument}]")).collect()
}

fn join(statements: &Statements, _members: u32) -> anyhow::Result<String> {
    let id = "currval('member_id_seq')";
    let next_id = statements.with("WITH next AS MATERIALIZED (SELECT nextval", &["1"])?;
    let phone_no = format!("'0109' || lpad({id}::text, 7, '0')");
    let member = [id, "md5(currval('member_id_seq')::text)", &phone_no, "'bench'", "'READY'", "1", "now()"];
    let insert = statements.with("INSERT INTO member (member_id", &arrays(&member))?;
    let supersede = statements.with("UPDATE tombstone SET rejoined = true", &arrays(&[id]))?;
    let membership = format!("md5({id}::text)::uuid");
    let event = outbox(statements, "MemberJoined", "member", id, "1", &membership)?;
    Ok(script(&[&format!("BEGIN;\n\n{next_id};\n\n{insert};\n\n{supersede};\n\n{event};\n\nCOMMIT;")]))
}

fn member(statements: &Statements, members: u32) -> anyhow::Result<String> {
    let select = statements.with(
        "SELECT member_id, membership_id, phone_no, nickname, status, version, joined_at FROM member \
         WHERE member_id = ANY",
        &["ARRAY[:member]"],
    )?;
    Ok(script(&[&any_member(members), &format!("{select};")]))
}

fn account(statements: &Statements, members: u32) -> anyhow::Result<String> {
    let select = statements.with(
        "SELECT membership_id, member_id, member_status, member_version, balance, version, signup_granted, forfeited, ARRAY",
        &["ARRAY[:member]"],
    )?;
    Ok(script(&[&any_member(members), &format!("{select};")]))
}

fn page(statements: &Statements, members: u32) -> anyhow::Result<String> {
    let find = statements.with(r#"SELECT member_id, phone_no AS "phone_no!""#, &["ARRAY[:member]"])?;
    let latest = statements
        .with("SELECT membership.member_id AS", &["ARRAY[:member]", "ARRAY[md5(:member::text)]", "20"])?;
    Ok(script(&[&any_member(members), &format!("{find};"), &format!("{latest};")]))
}

#[cfg(test)]
mod tests {
    use local_stack::project;

    use super::*;

    #[test]
    fn every_script_is_made_of_the_statements_of_the_services() {
        let statements = Statements::read(&project::root()).unwrap();
        for script in [EARN_OR_USE, USE_OF_ONE, JOIN, MEMBER, ACCOUNT, PAGE] {
            let text = (script.text)(&statements, 1_000).unwrap();
            assert!(text.contains("::"), "{text}");
            assert!(!text.contains('$'), "{text}");
        }
    }
}
