//! The custom resources of the operators, as far as the manifests use them. No maintained crate has them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, SecurityContext};
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::{Metadata, NamespaceResourceScope, Resource};
use serde::Deserialize;
use serde_json::Value;

/// A custom resource with the spec `S`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Custom<S> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub metadata: ObjectMeta,
    pub spec: S,
}

/// The spec of a custom resource.
pub trait Spec {
    const API_VERSION: &'static str;
    const KIND: &'static str;
}

impl<S: Spec> Resource for Custom<S> {
    const API_VERSION: &'static str = S::API_VERSION;
    const GROUP: &'static str = "";
    const KIND: &'static str = S::KIND;
    const VERSION: &'static str = "";
    const URL_PATH_SEGMENT: &'static str = "";
    type Scope = NamespaceResourceScope;
}

impl<S: Spec> Metadata for Custom<S> {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// Names the custom resources.
macro_rules! resources {
    ($($resource:ident = $spec:ident: $kind:literal of $api_version:literal;)*) => {$(
        pub type $resource = Custom<$spec>;

        impl Spec for $spec {
            const API_VERSION: &'static str = $api_version;
            const KIND: &'static str = $kind;
        }
    )*};
}

/// Structs that refuse what they do not know.
macro_rules! structs {
    ($(struct $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        #[allow(dead_code, reason = "of some fields only the name is checked")]
        pub struct $name {
            $($(#[$attribute])* pub $field: $type,)*
        }
    )*};
}

resources! {
    Cluster = ClusterSpec: "Cluster" of "postgresql.cnpg.io/v1";
    ScheduledBackup = ScheduledBackupSpec: "ScheduledBackup" of "postgresql.cnpg.io/v1";
    ObjectStore = ObjectStoreSpec: "ObjectStore" of "barmancloud.cnpg.io/v1";
    Kafka = KafkaSpec: "Kafka" of "kafka.strimzi.io/v1";
    KafkaNodePool = KafkaNodePoolSpec: "KafkaNodePool" of "kafka.strimzi.io/v1";
    KafkaTopic = KafkaTopicSpec: "KafkaTopic" of "kafka.strimzi.io/v1";
    KafkaUser = KafkaUserSpec: "KafkaUser" of "kafka.strimzi.io/v1";
    PodMonitor = PodMonitorSpec: "PodMonitor" of "monitoring.coreos.com/v1";
}

structs! {
    struct ClusterSpec {
        instances: u32,
        #[serde(rename = "enablePDB")]
        enable_pdb: bool,
        primary_update_strategy: String,
        primary_update_method: String,
        bootstrap: Bootstrap,
        managed: Managed,
        postgresql: PostgresConfiguration,
        resources: ResourceRequirements,
        storage: ClusterStorage,
        wal_storage: ClusterStorage,
        affinity: ClusterAffinity,
        plugins: Vec<Plugin>,
    }
    struct Bootstrap {
        initdb: InitDb,
    }
    struct InitDb {
        database: String,
        owner: String,
        #[serde(rename = "postInitSQL")]
        post_init_sql: Vec<String>,
        #[serde(rename = "postInitApplicationSQLRefs")]
        post_init_application_sql_refs: SqlRefs,
    }
    struct SqlRefs {
        config_map_refs: Vec<KeyRef>,
    }
    struct KeyRef {
        name: String,
        key: String,
    }
    struct NameRef {
        name: String,
    }
    struct Managed {
        roles: Vec<ManagedRole>,
    }
    struct ManagedRole {
        name: String,
        login: bool,
        password_secret: NameRef,
    }
    struct PostgresConfiguration {
        synchronous: Synchronous,
        parameters: BTreeMap<String, String>,
        #[serde(rename = "pg_hba")]
        pg_hba: Vec<String>,
    }
    struct Synchronous {
        method: String,
        number: u32,
        data_durability: String,
    }
    struct ClusterStorage {
        size: String,
    }
    struct ClusterAffinity {
        enable_pod_anti_affinity: bool,
        pod_anti_affinity_type: String,
        topology_key: String,
    }
    struct Plugin {
        name: String,
        #[serde(rename = "isWALArchiver")]
        is_wal_archiver: bool,
        parameters: BTreeMap<String, String>,
    }
    struct ScheduledBackupSpec {
        schedule: String,
        immediate: bool,
        backup_owner_reference: String,
        cluster: NameRef,
        method: String,
        plugin_configuration: NameRef,
    }
    struct ObjectStoreSpec {
        configuration: StoreConfiguration,
        retention_policy: String,
    }
    struct StoreConfiguration {
        destination_path: String,
        #[serde(rename = "s3Credentials")]
        s3_credentials: S3Credentials,
        wal: Compressed,
        data: Compressed,
    }
    struct S3Credentials {
        access_key_id: KeyRef,
        secret_access_key: KeyRef,
    }
    struct Compressed {
        compression: String,
    }

    struct KafkaSpec {
        kafka: Brokers,
        entity_operator: EntityOperator,
    }
    struct Brokers {
        version: String,
        listeners: Vec<Listener>,
        authorization: Typed,
        config: BTreeMap<String, Value>,
    }
    struct Listener {
        name: String,
        port: i32,
        #[serde(rename = "type")]
        kind: String,
        tls: bool,
        authentication: Typed,
        network_policy_peers: Vec<NetworkPolicyPeer>,
    }
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }
    struct EntityOperator {
        topic_operator: Empty,
        user_operator: Empty,
        template: EntityOperatorTemplate,
    }
    struct Empty {
    }
    struct EntityOperatorTemplate {
        topic_operator_container: ContainerTemplate,
        user_operator_container: ContainerTemplate,
    }
    struct ContainerTemplate {
        security_context: SecurityContext,
    }
    struct KafkaNodePoolSpec {
        replicas: u32,
        roles: Vec<String>,
        storage: PoolStorage,
        resources: ResourceRequirements,
        template: PoolTemplate,
    }
    struct PoolStorage {
        #[serde(rename = "type")]
        kind: String,
        volumes: Vec<PoolVolume>,
    }
    struct PoolVolume {
        id: u32,
        #[serde(rename = "type")]
        kind: String,
        size: String,
        kraft_metadata: String,
    }
    struct PoolTemplate {
        kafka_container: ContainerTemplate,
        pod: PodTemplate,
    }
    struct PodTemplate {
        affinity: Affinity,
    }
    struct KafkaTopicSpec {
        partitions: i32,
        replicas: i32,
        config: BTreeMap<String, Value>,
    }
    struct KafkaUserSpec {
        authentication: Typed,
        authorization: Authorization,
    }
    struct Authorization {
        #[serde(rename = "type")]
        kind: String,
        acls: Vec<Acl>,
    }
    struct Acl {
        resource: AclResource,
        operations: Vec<String>,
    }
    struct AclResource {
        #[serde(rename = "type")]
        kind: String,
        name: String,
        pattern_type: String,
    }

    struct PodMonitorSpec {
        job_label: String,
        selector: LabelSelector,
        pod_metrics_endpoints: Vec<MetricsEndpoint>,
    }
    struct MetricsEndpoint {
        port: String,
        path: String,
        interval: String,
        relabelings: Vec<Relabeling>,
    }
    struct Relabeling {
        source_labels: Vec<String>,
        target_label: String,
    }
}
