//! The tables, as Diesel sees them on every database. `migrations/` has the same for each.
#![expect(missing_docs, reason = "Diesel generates items for each column")]

diesel::table! {
    participants (id) {
        id -> BigInt,
        event_id -> BigInt,
        email -> Text,
        name -> Text,
        locale -> Nullable<Text>,
        timezone -> Nullable<Text>,
        unsubscribed_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    events (id) {
        id -> BigInt,
        title -> Nullable<Text>,
        starts_at -> Nullable<Timestamp>,
        ends_at -> Nullable<Timestamp>,
        timezone -> Nullable<Text>,
        location -> Nullable<Text>,
        url -> Nullable<Text>,
        created_at -> Timestamp,
    }
}

diesel::table! {
    dispatches (id) {
        id -> Text,
        message_key -> Text,
        body_hash -> Text,
        message_id -> Nullable<Text>,
        body -> Binary,
        #[sql_name = "type"]
        kind -> Text,
        tenant_id -> Nullable<Text>,
        event_id -> Nullable<BigInt>,
        order_id -> Nullable<Text>,
        version -> Nullable<BigInt>,
        plan -> Text,
        subject -> Text,
        status -> Text,
        last_participant_id -> BigInt,
        cursor_participant_id -> BigInt,
        lease_token -> Nullable<Text>,
        lease_beat -> BigInt,
        lease_holder -> Nullable<Text>,
        acking -> Nullable<Text>,
        sender -> Text,
        held_back -> BigInt,
        wanted -> Nullable<Text>,
        has_delivery -> Bool,
        ack_proven -> Bool,
        starts -> Integer,
        vain_starts -> Integer,
        due_at -> Nullable<Timestamp>,
        error -> Nullable<Text>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        closed_at -> Nullable<Timestamp>,
        notice_source -> Nullable<Text>,
    }
}

diesel::table! {
    notifications (id) {
        id -> BigInt,
        dispatch_id -> Text,
        channel -> Text,
        recipient -> Nullable<Text>,
        participant_id -> Nullable<BigInt>,
        name -> Text,
        locale -> Nullable<Text>,
        message_id -> Text,
        status -> Text,
        attempts -> Integer,
        suspected -> Integer,
        error -> Nullable<Text>,
        next_attempt_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        sent_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    cooldowns (cooldown_key) {
        cooldown_key -> Text,
        dispatch_id -> Text,
        ends_at -> Timestamp,
        held_back -> BigInt,
    }
}

diesel::table! {
    idempotency (id_key) {
        id_key -> Text,
        body_hash -> Text,
        answer -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    completions (completion_key) {
        completion_key -> Text,
        dispatch_id -> Text,
        recipe_id -> Text,
        value -> Text,
        notice -> Bool,
        published -> Text,
        attempts -> Integer,
        next_at -> Timestamp,
        error -> Nullable<Text>,
        claim_token -> Nullable<Text>,
        claim_holder -> Nullable<Text>,
        claimed_at -> Nullable<Timestamp>,
        created_at -> Timestamp,
    }
}

diesel::joinable!(notifications -> dispatches (dispatch_id));
diesel::allow_tables_to_appear_in_same_query!(notifications, dispatches);
diesel::allow_tables_to_appear_in_same_query!(completions, dispatches);
