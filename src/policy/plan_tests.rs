use std::sync::Arc;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::file::{self, Context};
use super::*;
use crate::config::Environment;
use crate::domain::{Addressee, Audience, Channel, DisplayName, Identity, Severity, TenantId};
use crate::message::{self, EventDetails, Message};

fn surroundings() -> Surroundings {
    Surroundings {
        identity: Identity {
            address: "notifications@example.com".parse().unwrap(),
            name: DisplayName::clean("Notification Service"),
        },
        pipelines_enabled: true,
    }
}

fn config(mut file: Value) -> Arc<TenantConfig> {
    file["enabled"] = json!(true);
    let context = Context {
        tenant: None,
        environment: &Environment::default(),
        insecure_hosts: &[],
    };
    match file::read(file.to_string().as_bytes(), context) {
        Ok(read) => Arc::new(read.config),
        Err(problems) => panic!("{problems:?}"),
    }
}

fn tenant(file: Value) -> Tenancy {
    Tenancy::Tenant(acme(), config(file))
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// Two addresses and a webhook, with what `more` says besides.
fn full(more: Value) -> Value {
    let mut file = json!({
        "email": {"from_email": "alerts@acme.com", "to_emails": ["a@acme.com"], "cc_emails": ["c@acme.com"]},
        "slack": {"webhook_url": "https://hooks.slack.com/services/x", "channel": "#data", "mention_users": ["U1"],
                  "mention_channel": true}
    });
    if let (Some(file), Value::Object(more)) = (file.as_object_mut(), more) {
        file.extend(more);
    }
    file
}

fn trigger(more: Value) -> Value {
    let mut trigger = json!({"event": "pipeline_failure"});
    if let (Some(trigger), Value::Object(more)) = (trigger.as_object_mut(), more) {
        trigger.extend(more);
    }
    json!({"event_triggers": [trigger]})
}

fn message(more: Value) -> Message {
    let mut body = json!({"tenant_id": "acme"});
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    message::parse(body.to_string().as_bytes()).unwrap()
}

fn pipeline() -> Message {
    message(json!({"type": "pipeline_failure", "pipeline_id": "daily"}))
}

fn event() -> Message {
    message(json!({"type": "UPDATED", "event_id": 7}))
}

fn order() -> Message {
    message(
        json!({"type": "order.created", "order_id": "O-1", "customer": {"email": "ann@example.com", "name": "Ann"}}),
    )
}

fn planned(message: &Message, tenancy: &Tenancy) -> Planned {
    plan(message, EventDetails::default(), tenancy, &surroundings())
}

/// `channel recipient` for who is told, `channel recipient!reason` for who is not.
fn listed(planned: &Planned) -> Vec<String> {
    let Audience::Listed(listed) = &planned.audience else {
        return vec!["participants".into()];
    };
    let show = |a: &Addressee| {
        let recipient = a.recipient.as_deref().unwrap_or("nobody");
        let reason = a.suppressed.as_ref().map(|r| format!("!{r}")).unwrap_or_default();
        format!("{} {recipient}{reason}", a.channel)
    };
    listed.iter().map(show).collect()
}

#[rstest]
#[case(json!({}), &["email a@acme.com", "email c@acme.com", "slack #data"])]
#[case(json!({"default_provider": "email"}), &["email a@acme.com", "email c@acme.com"])]
#[case(json!({"default_provider": "slack"}), &["slack #data"])]
#[case(trigger(json!({"providers": ["slack"]})), &["slack #data"])]
#[case(trigger(json!({"providers": ["email"]})), &["email a@acme.com", "email c@acme.com"])]
#[case(trigger(json!({"providers": ["both"]})), &["email a@acme.com", "email c@acme.com", "slack #data"])]
#[case(trigger(json!({"providers": ["email", "slack"]})), &["email a@acme.com", "email c@acme.com", "slack #data"])]
#[case(json!({"default_provider": "slack", "event_triggers": [{"event": "pipeline_failure", "providers": ["email"]}]}),
    &["email a@acme.com", "email c@acme.com"])]
#[case(json!({"default_provider": "slack", "event_triggers": [{"event": "pipeline_success", "providers": ["email"]}]}),
    &["slack #data"])]
#[case(trigger(json!({"enabled": false})), &["email nobody!the trigger for pipeline_failure is disabled"])]
#[case(json!({"muted": true}), &["email nobody!the tenant is muted"])]
#[case(json!({"muted": true, "default_provider": "slack"}), &["slack #data!the tenant is muted"])]
#[case(json!({"slack": null}), &["email a@acme.com", "email c@acme.com"])]
#[case(json!({"email": null}), &["slack #data"])]
#[case(json!({"email": {"enabled": false, "to_emails": ["a@acme.com"]}}), &["slack #data"])]
#[case(json!({"email": null, "slack": null}), &["email nobody!e-mail is not configured"])]
#[case(json!({"email": {}, "slack": null}), &["email nobody!no e-mail recipient is configured"])]
#[case(json!({"email": {"cc_emails": ["c@acme.com"]}, "slack": null}), &["email c@acme.com"])]
#[case(json!({"default_provider": "both", "email": {"enabled": false}}), &["email nobody!e-mail is disabled", "slack #data"])]
#[case(json!({"default_provider": "both", "slack": {"enabled": false}}),
    &["email a@acme.com", "email c@acme.com", "slack nobody!Slack is disabled"])]
#[case(json!({"default_provider": "slack", "slack": null}), &["slack nobody!Slack is not configured"])]
#[case(json!({"default_provider": "slack", "slack": {"webhook_url": "https://hooks.slack.com/services/x"}}),
    &["slack incoming webhook"])]
fn where_pipelines_go(#[case] more: Value, #[case] expected: &[&str]) {
    let planned = planned(&pipeline(), &tenant(full(more)));
    assert_eq!(listed(&planned), expected);
    let has = |channel: &str| {
        expected
            .iter()
            .any(|e| e.starts_with(channel) && !e.contains('!'))
    };
    let lists = &planned.plan.lists;
    assert_eq!(!(lists.to.is_empty() && lists.cc.is_empty()), has("email"));
    assert_eq!(planned.plan.slack.is_some(), has("slack"));
}

#[test]
fn what_a_post_is_addressed_with() {
    let plan = planned(&pipeline(), &tenant(full(json!({})))).plan;
    let slack = plan.slack.unwrap();
    assert_eq!(slack.channel.as_deref(), Some("#data"));
    assert_eq!(slack.mention_users, ["U1"]);
    assert!(slack.mention_channel);
    assert_eq!(plan.lists.to[0].as_str(), "a@acme.com");
    assert_eq!(plan.lists.cc[0].as_str(), "c@acme.com");
}

#[rstest]
#[case(Some("critical"), Some("warning"), Severity::Critical)]
#[case(Some("info"), None, Severity::Info)]
#[case(None, Some("warning"), Severity::Warning)]
#[case(None, None, Severity::Error)]
fn severity_of_message_then_trigger_then_type(
    #[case] said: Option<&str>,
    #[case] trigger: Option<&str>,
    #[case] severity: Severity,
) {
    let file = full(self::trigger(json!({"severity": trigger})));
    let message = message(json!({"type": "pipeline_failure", "severity": said}));
    match planned(&message, &tenant(file)).plan.facts {
        Facts::Pipeline(facts) => assert_eq!(facts.severity, severity),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_types_trigger_says_nothing() {
    let file = full(json!({"event_triggers": [
        {"event": "pipeline_warning", "enabled": false, "severity": "critical", "cooldown_seconds": 9}
    ]}));
    let planned = planned(&pipeline(), &tenant(file));
    assert_eq!(listed(&planned).len(), 3);
    assert!(planned.cooldown.is_none());
    assert!(matches!(planned.plan.facts, Facts::Pipeline(f) if f.severity == Severity::Error));
}

#[rstest]
#[case(json!({"cooldown_seconds": 180}), Some(180_000))]
#[case(json!({"cooldown_seconds": 0.5}), Some(500))]
#[case(json!({"cooldown_seconds": 0}), None)]
#[case(json!({}), None)]
#[case(json!({"cooldown_seconds": 180, "enabled": false}), None)]
fn cooldowns_are_named(#[case] more: Value, #[case] period: Option<u64>) {
    let planned = planned(&pipeline(), &tenant(full(trigger(more))));
    let cooldown = planned.cooldown;
    assert_eq!(
        cooldown.as_ref().map(|c| c.period),
        period.map(Duration::from_millis)
    );
    if let Some(cooldown) = cooldown {
        let held = cooldown.held.suppressed.unwrap();
        assert!(
            held.starts_with("cooldown: an equal message was told less than"),
            "{held}"
        );
        assert_eq!(cooldown.held.recipient, None, "there are several");
    }
}

#[test]
fn nobody_to_tell_takes_no_cooldown() {
    let file = json!({"event_triggers": [{"event": "pipeline_failure", "cooldown_seconds": 9}]});
    assert!(planned(&pipeline(), &tenant(file)).cooldown.is_none());
}

#[test]
fn a_cooldown_is_of_one_tenant_type_and_pipeline() {
    let file = full(json!({"event_triggers": [
        {"event": "pipeline_failure", "cooldown_seconds": 9}, {"event": "pipeline_warning", "cooldown_seconds": 9}
    ]}));
    let key = |body: Value| {
        let message = message(body);
        planned(&message, &tenant(file.clone())).cooldown.unwrap().key
    };
    let first = key(json!({"type": "pipeline_failure", "pipeline_id": "a"}));
    let same = key(json!({"type": "pipeline_failure", "pipeline_id": "a", "title": "T", "severity": "info"}));
    assert_eq!(first, same);
    let others = [
        json!({"type": "pipeline_failure", "pipeline_id": "b"}),
        json!({"type": "pipeline_failure"}),
        json!({"type": "pipeline_warning", "pipeline_id": "a"}),
        json!({"type": "pipeline_failure", "pipeline_id": "a", "tenant_id": "beta"}),
        json!({"type": "pipeline_failure", "pipeline_id": "a", "tenant_id": null}),
    ];
    for other in others {
        assert_ne!(first, key(other.clone()), "{other}");
    }
}

#[rstest]
#[case(tenant(full(json!({}))), "tenant:acme", "alerts@acme.com", "")]
#[case(tenant(json!({"email": {"from_name": "Acme"}})), "tenant:acme", "notifications@example.com", "Acme")]
#[case(tenant(json!({"email": {}})), "tenant:acme", "notifications@example.com", "Notification Service")]
#[case(tenant(json!({})), "tenant:acme", "notifications@example.com", "Notification Service")]
#[case(Tenancy::Root(config(full(json!({})))), "root", "alerts@acme.com", "")]
#[case(
    Tenancy::Environment,
    "environment",
    "notifications@example.com",
    "Notification Service"
)]
#[case(
    Tenancy::Disabled("off"),
    "environment",
    "notifications@example.com",
    "Notification Service"
)]
fn identities(#[case] tenancy: Tenancy, #[case] sender: &str, #[case] from: &str, #[case] name: &str) {
    for message in [pipeline(), event(), order()] {
        let plan = planned(&message, &tenancy).plan;
        assert_eq!(plan.sender.to_string(), sender);
        assert_eq!(plan.identity.address.as_str(), from);
        assert_eq!(plan.identity.name.as_str(), name);
        assert_eq!(plan.tenant, Some(acme()));
    }
}

#[test]
fn retries_are_the_configurations() {
    let file = json!({"max_retries": 0, "retry_delay_seconds": 1.5});
    let plan = planned(&event(), &tenant(file)).plan;
    assert_eq!(
        (plan.max_retries, plan.retry_delay),
        (Some(0), Some(Duration::from_millis(1500)))
    );
    let plan = planned(&event(), &Tenancy::Environment).plan;
    assert_eq!((plan.max_retries, plan.retry_delay), (None, None));
}

#[rstest]
#[case(Tenancy::Environment, None)]
#[case(tenant(json!({})), None)]
#[case(tenant(full(json!({}))), None)]
#[case(Tenancy::Root(config(json!({}))), None)]
#[case(tenant(json!({"muted": true})), Some("the tenant is muted"))]
#[case(tenant(json!({"email": {"enabled": false}})), Some("the tenant's e-mail is disabled"))]
#[case(tenant(json!({"event_triggers": [{"event": "UPDATED", "enabled": false}, {"event": "order.created", "enabled": false}]})),
    Some("the trigger for {type} is disabled"))]
#[case(tenant(json!({"event_triggers": [{"event": "CREATED", "enabled": false}]})), None)]
#[case(
    Tenancy::Disabled("notifications are disabled for the root"),
    Some("notifications are disabled for the root")
)]
fn events_and_orders(#[case] tenancy: Tenancy, #[case] reason: Option<&str>) {
    let to_event = listed(&planned(&event(), &tenancy));
    let to_customer = listed(&planned(&order(), &tenancy));
    match reason {
        None => {
            assert_eq!(to_event, ["participants"]);
            assert_eq!(to_customer, ["email ann@example.com"]);
        }
        Some(reason) => {
            let reason = |kind| reason.replace("{type}", kind);
            assert_eq!(to_event, [format!("email nobody!{}", reason("UPDATED"))]);
            assert_eq!(
                to_customer,
                [format!("email ann@example.com!{}", reason("order.created"))]
            );
        }
    }
}

#[test]
fn a_customers_name_is_kept() {
    match planned(&order(), &Tenancy::Environment).audience {
        Audience::Listed(listed) => {
            assert_eq!(listed[0].name.as_str(), "Ann");
            assert_eq!(listed[0].channel, Channel::Email);
        }
        Audience::Participants => panic!("an order has one customer"),
    }
}

#[test]
fn switched_off_pipelines_do_not_touch_events_and_orders() {
    let off = Surroundings {
        pipelines_enabled: false,
        ..surroundings()
    };
    let tenancy = tenant(full(trigger(json!({"cooldown_seconds": 9}))));
    let planned = |message: &Message| plan(message, EventDetails::default(), &tenancy, &off);
    let suppressed = planned(&pipeline());
    assert_eq!(
        listed(&suppressed),
        ["email nobody!pipeline notifications are switched off (NOTIFICATIONS_ENABLED)"]
    );
    assert!(suppressed.cooldown.is_none());
    assert_eq!(listed(&planned(&event())), ["participants"]);
    assert_eq!(listed(&planned(&order())), ["email ann@example.com"]);
}

#[rstest]
#[case(Tenancy::Environment, "email nobody!nobody is configured to be told")]
#[case(Tenancy::Disabled("off everywhere"), "email nobody!off everywhere")]
fn pipelines_without_configuration(#[case] tenancy: Tenancy, #[case] row: &str) {
    let planned = planned(&pipeline(), &tenancy);
    assert_eq!(listed(&planned), [row]);
    assert!(planned.cooldown.is_none() && planned.plan.slack.is_none());
}

#[test]
fn what_the_message_says_goes_before_what_the_table_knows() {
    let known = EventDetails {
        title: Some("Known".into()),
        location: Some("Hall 1".into()),
        ..EventDetails::default()
    };
    let message = message(json!({"type": "UPDATED", "event_id": 7, "event": {"title": "Said"}}));
    let planned = plan(&message, known, &Tenancy::Environment, &surroundings());
    match planned.plan.facts {
        Facts::Event(facts) => {
            assert_eq!(facts.details.title.as_deref(), Some("Said"));
            assert_eq!(facts.details.location.as_deref(), Some("Hall 1"));
        }
        other => panic!("{other:?}"),
    }
}
