//! Kafka's jars, resolved by Maven once and remembered under cargo's target folder, and what makes it start fast.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use nix::fcntl::{Flock, FlockArg};
use rand::RngExt;

use super::{Tuning, class_archive, java, maven, node};
use crate::{
    process::{ChildProcess, Signal},
    project,
    scratch::ScratchDir,
    wait::until_ok,
};

/// The id of the only node, broker and controller at once.
pub(super) const NODE_ID: &str = "1";

/// How long another process may take to prepare Kafka: a download over a slow line.
const LOCK_DEADLINE: Duration = Duration::from_secs(15 * 60);

const POM: &str = include_str!("../../kafka/pom.xml");
const HEAP: [&str; 2] = ["-Xmx384m", "-Xms128m"];
/// Compiles all once, quickly. The archive of classes is made with these.
const QUICK: [&str; 2] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// SerialGC stops a broker that serves 500 records a second for 20 to 70 ms each second.
const STEADY: [&str; 1] = ["-XX:+UseZGC"];
const LOG_SETTINGS: &str = include_str!("../../kafka/log4j2.properties");

/// What an earlier preparation was made from.
const RECIPE: &str = "recipe";

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
    let _lock = lock(&cache).await?;
    if let Some(made_meanwhile) = Distribution::load(&cache) {
        return Ok(made_meanwhile);
    }
    java::check()?;
    let distribution = Distribution::resolve(cache).await?;
    distribution.make_checkpoint().await?;
    class_archive::train(&distribution).await;
    fs::write(distribution.cache.join(RECIPE), recipe()).context("cannot remember how Kafka was prepared")?;
    Ok(distribution)
}

impl Distribution {
    /// What an earlier [`prepare`] left, if it was made from the same and every jar is still there.
    fn load(cache: &Path) -> Option<Self> {
        let same = fs::read_to_string(cache.join(RECIPE)).ok()? == recipe();
        let class_path = fs::read_to_string(cache.join("classpath")).ok()?;
        let complete =
            class_path.split(':').all(|jar| Path::new(jar).is_file()) && cache.join(CHECKPOINT).is_file();
        (same && complete).then(|| Self { cache: cache.to_owned(), class_path })
    }

    async fn resolve(cache: PathBuf) -> anyhow::Result<Self> {
        let work = cache.join("resolve");
        fs::create_dir_all(&work)?;
        fs::write(work.join("pom.xml"), POM)?;
        fs::write(cache.join("log4j2.properties"), LOG_SETTINGS)?;
        let _ = fs::remove_file(cache.join(RECIPE));
        maven::resolve(&work, &cache.join("classpath")).await?;
        let class_path = fs::read_to_string(cache.join("classpath")).context("Maven wrote no class path")?;
        Ok(Self { cache, class_path: class_path.trim().to_owned() })
    }

    /// `java` with Kafka's class path and a small heap; `arguments` are further options and the main class.
    pub(super) fn java(&self, tuning: Tuning, arguments: &[&str]) -> Command {
        let mut command = self.jvm(&HEAP);
        match tuning {
            Tuning::Quick => {
                command.args(QUICK);
                let archive = self.class_archive();
                if archive.is_file() {
                    command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
                }
            }
            Tuning::Steady => {
                command.args(STEADY);
            }
        }
        command.args(arguments);
        command
    }

    /// One of Kafka's command-line tools, with the heap that Kafka's own scripts give those that measure.
    pub(super) fn tool(&self, class: &str) -> Command {
        let mut command = self.jvm(&["-Xmx512m"]);
        command.arg(class);
        command
    }

    fn jvm(&self, options: &[&str]) -> Command {
        let mut command = Command::new(java::program());
        command
            .args(options)
            .arg("-Djava.awt.headless=true")
            .arg(format!("-Dlog4j2.configurationFile={}", self.cache.join("log4j2.properties").display()))
            .args(["-cp", &self.class_path])
            .env_remove("JAVA_TOOL_OPTIONS");
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
        let mut tool = self.java(Tuning::Quick, &["kafka.tools.StorageTool", "format", "-t"]);
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

/// What the prepared files depend on: an archive of classes fits the collector it was made with.
fn recipe() -> String {
    [POM, LOG_SETTINGS, &QUICK.join(" ")].join("\n")
}

/// Waits while another process prepares Kafka, without blocking a thread: the wait can be given up at any time.
async fn lock(cache: &Path) -> anyhow::Result<Flock<File>> {
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    until_ok(LOCK_DEADLINE, || async {
        let file = File::create(cache.join("lock")).context("cannot create Kafka's lock file")?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| error)
            .context("cannot lock Kafka's folder: another process has been preparing it for too long")
    })
    .await
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
