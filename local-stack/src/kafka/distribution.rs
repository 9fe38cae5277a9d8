//! Kafka's jars, resolved by Maven once and remembered under cargo's target folder, and what makes it start fast.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context;
use nix::fcntl::{Flock, FlockArg};
use rand::RngExt;

use super::{class_archive, java, node};
use crate::{
    process::{ChildProcess, Signal, log_tail},
    project,
    report::say,
    scratch::ScratchDir,
};

/// The id of the only node, broker and controller at once.
pub(super) const NODE_ID: &str = "1";

const POM: &str = include_str!("../../kafka/pom.xml");
const LOG_SETTINGS: &str = include_str!("../../kafka/log4j2.properties");

/// What Kafka keeps about the features of a newly formatted cluster; the same for every cluster.
const CHECKPOINT: &str = "bootstrap.checkpoint";

/// Kafka, ready to be run.
#[derive(Debug, Clone)]
pub struct Distribution {
    cache: PathBuf,
    class_path: String,
}

/// Resolves Kafka unless that is done already. Safe when several processes do it at once.
///
/// # Errors
/// When Java 17 or Maven is missing, or Maven cannot download.
pub async fn prepare() -> anyhow::Result<Distribution> {
    let cache = project::target_dir().join("kafka");
    if let Some(ready) = Distribution::load(&cache) {
        return Ok(ready);
    }
    let _lock = tokio::task::spawn_blocking({
        let cache = cache.clone();
        move || lock(&cache)
    })
    .await??;
    if let Some(made_meanwhile) = Distribution::load(&cache) {
        return Ok(made_meanwhile);
    }
    java::check()?;
    let distribution = tokio::task::spawn_blocking(move || Distribution::resolve(cache)).await??;
    distribution.make_checkpoint().await?;
    class_archive::train(&distribution).await;
    fs::write(distribution.cache.join("pom.xml"), POM).context("cannot remember Kafka's class path")?;
    Ok(distribution)
}

impl Distribution {
    /// What an earlier [`prepare`] left, if it was for the same pom and every jar is still there.
    fn load(cache: &Path) -> Option<Self> {
        let same = fs::read_to_string(cache.join("pom.xml")).ok()? == POM;
        let class_path = fs::read_to_string(cache.join("classpath")).ok()?;
        let complete =
            class_path.split(':').all(|jar| Path::new(jar).is_file()) && cache.join(CHECKPOINT).is_file();
        (same && complete).then(|| Self { cache: cache.to_owned(), class_path })
    }

    fn resolve(cache: PathBuf) -> anyhow::Result<Self> {
        let work = cache.join("resolve");
        fs::create_dir_all(&work)?;
        fs::write(work.join("pom.xml"), POM)?;
        fs::write(cache.join("log4j2.properties"), LOG_SETTINGS)?;
        let _ = fs::remove_file(cache.join("pom.xml"));
        run_maven(&work, &cache.join("classpath"))?;
        let class_path = fs::read_to_string(cache.join("classpath")).context("Maven wrote no class path")?;
        Ok(Self { cache, class_path: class_path.trim().to_owned() })
    }

    /// `java` with Kafka's class path, a small heap and quick start; `arguments` are further options and the main class.
    pub(super) fn java(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(java::program());
        command
            .args(["-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
            .arg("-Djava.awt.headless=true")
            .arg(format!("-Dlog4j2.configurationFile={}", self.cache.join("log4j2.properties").display()))
            .args(["-cp", &self.class_path])
            .env_remove("JAVA_TOOL_OPTIONS");
        let archive = self.class_archive();
        if archive.is_file() {
            command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        }
        command.args(arguments);
        command
    }

    /// Where the archive of parsed classes is, if the JVM could make one.
    pub(super) fn class_archive(&self) -> PathBuf {
        self.cache.join("classes.jsa")
    }

    /// Makes `data_dir` that of a new cluster, as Kafka's own storage tool does, but without starting a JVM for it.
    pub(super) fn format(&self, data_dir: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(data_dir)
            .and_then(|()| fs::copy(self.cache.join(CHECKPOINT), data_dir.join(CHECKPOINT)))
            .with_context(|| format!("cannot format {}", data_dir.display()))?;
        node::write_identity(data_dir, &random_id(), &random_id())
    }

    /// Lets Kafka's storage tool format a folder and keeps the checkpoint it writes.
    async fn make_checkpoint(&self) -> anyhow::Result<()> {
        let scratch = ScratchDir::new("kafka-format")?;
        let data = scratch.path().join("data");
        let settings = scratch.path().join("server.properties");
        fs::write(
            &settings,
            format!(
                "process.roles=broker,controller\nnode.id={NODE_ID}\ncontroller.quorum.voters={NODE_ID}@127.0.0.1:1\n\
                 listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n\
                 log.dirs={}\n",
                data.display()
            ),
        )?;
        let mut tool = self.java(&["kafka.tools.StorageTool", "format", "-t"]);
        tool.arg(random_id()).arg("-c").arg(settings);
        let process =
            ChildProcess::spawn("kafka-storage", tool, &scratch.path().join("log"), Signal::SIGKILL)?;
        if !process.exited().await.success() {
            process.check_running()?;
        }
        fs::copy(data.join(CHECKPOINT), self.cache.join(CHECKPOINT))
            .context("Kafka's storage tool made no checkpoint")?;
        Ok(())
    }
}

fn lock(cache: &Path) -> anyhow::Result<Flock<File>> {
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let file = File::create(cache.join("lock")).context("cannot create Kafka's lock file")?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .context("cannot lock Kafka's folder")
}

fn run_maven(work: &Path, class_path: &Path) -> anyhow::Result<()> {
    let errors = work.join("maven-errors.log");
    say("kafka: resolving Apache Kafka from Maven Central (about 70 MB, once)");
    let mut maven = Command::new("mvn")
        .args(["-B", "-f"])
        .arg(work.join("pom.xml"))
        .arg("dependency:build-classpath")
        .arg(format!("-Dmdep.outputFile={}", class_path.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors).context("cannot create Maven's log")?)
        .spawn()
        .context("Kafka is resolved by Maven, and there is no mvn (package maven)")?;
    let mut complaints = Vec::new();
    if let Some(output) = maven.stdout.take() {
        let lines = BufReader::new(output).split(b'\n').map_while(Result::ok);
        for line in lines.map(|line| String::from_utf8_lossy(&line).trim().to_owned()) {
            match line.split_once("Downloaded from ") {
                Some((_, what)) if what.contains(".jar ") => say(format!("kafka: {}", file_name(what))),
                _ if line.contains("[ERROR]") => complaints.push(line),
                _ => {}
            }
        }
    }
    let status = maven.wait().context("mvn")?;
    anyhow::ensure!(
        status.success(),
        "Maven could not resolve Kafka ({status}):\n{}\n{}",
        complaints.join("\n"),
        log_tail(&errors, 0)
    );
    Ok(())
}

/// `a.jar (1.2 MB at 3 MB/s)` of `central: https://…/a.jar (1.2 MB at 3 MB/s)`.
fn file_name(downloaded: &str) -> &str {
    let end_of_url = downloaded.find(" (").unwrap_or(downloaded.len());
    downloaded[..end_of_url].rfind('/').map_or(downloaded, |slash| &downloaded[slash + 1..])
}

/// Kafka's form of a random uuid: 16 bytes in URL-safe base64 without padding; never beginning with a dash.
fn random_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut rng = rand::rng();
    let mut id: String = (0..21).map(|_| char::from(ALPHABET[rng.random_range(0..62)])).collect();
    // The last character carries two bits only.
    id.push(['A', 'Q', 'g', 'w'][rng.random_range(0..4)]);
    id
}
