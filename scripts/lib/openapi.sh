# shellcheck shell=bash
# Tries the API by its own description. Sourced after common.sh and servers.sh; the broker has to be up.

SCHEMATHESIS=4.32.5

# Starts a worker in dummy mode, with something of each kind to look at, and asks it what its description
# allows and what it does not. Fails on 5xx and on statuses, content types and bodies that are not described.
# The examples are the same each time.
try_api() {
    local port queue=openapi-$$ herald=$ROOT/target/debug/herald pid result=0 body
    need_pypi schemathesis "$SCHEMATHESIS" schemathesis || return 1
    free_port port
    mkdir -p "$WORK/openapi"
    local -a environment=(
        DATABASE_URL="sqlite:///$WORK/openapi/herald.db" LAVINMQ_URL="$AMQP_URL" LAVINMQ_QUEUE="$queue"
        HTTP_ADDR="127.0.0.1:$port" API_TOKEN=openapi LOG_FILE= LOG_LEVEL=DEBUG
    )
    (cd "$WORK/openapi" && env "${environment[@]}" "$ROOT/target/debug/add_test_data" --event-id 1 --participants 30) ||
        return 1
    start openapi TERM - env -C "$WORK/openapi" "${environment[@]}" "$herald" run
    pid=$LAST_PID
    await openapi 60 curl -fsS -m 5 "http://127.0.0.1:$port/health"
    for body in '{"type": "UPDATED", "event_id": 1}' '{"type": "CANCELLED", "event_id": 2}' \
        '{"type": "pipeline_failure", "tenant_id": "acme"}'; do
        curl -fsS -m 20 -o /dev/null -H 'Authorization: Bearer openapi' -H 'Content-Type: application/json' \
            -d "$body" "http://127.0.0.1:$port/api/v1/messages" || result=1
    done
    curl -fsS -m 20 -o "$WORK/openapi.json" -H 'Authorization: Bearer openapi' "http://127.0.0.1:$port/openapi.json" ||
        result=1
    (cd "$WORK/openapi" && "$PYPI_BIN/st" run "$WORK/openapi.json" --url "http://127.0.0.1:$port" \
        -H 'Authorization: Bearer openapi' --generation-deterministic --max-examples "${OPENAPI_EXAMPLES:-40}" \
        --phases examples,coverage,fuzzing --request-timeout 35 --workers 1 --no-color --warnings off --suppress-health-check all \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance) ||
        result=1
    stop "$pid" TERM
    ! grep -q panicked "$WORK/openapi.log" || result=1
    return $result
}
