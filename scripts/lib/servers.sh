# shellcheck shell=bash disable=SC2034 # what it sets is for the scripts that source it
# Private servers on free ports of 127.0.0.1, each with its data below $WORK. `start_…` begins, `await_…`
# waits until it serves; they end with the script. Sourced after common.sh.

# Sets AMQP_URL and AMQP_API. The node has its own name, cookie, ports and epmd. Its counters are
# up to $BROKER_INTERVAL ms old.
start_rabbitmq() {
    local dir=$WORK/rabbitmq amqp api dist epmd
    free_port amqp
    free_port api
    free_port dist
    free_port epmd
    mkdir -p "$dir"
    cat >"$dir/rabbitmq.conf" <<-END
	listeners.tcp.1 = 127.0.0.1:$amqp
	management.tcp.ip = 127.0.0.1
	management.tcp.port = $api
	collect_statistics_interval = ${BROKER_INTERVAL:-500}
	disk_free_limit.absolute = 50MB
	END
    echo '[rabbitmq_management].' >"$dir/enabled_plugins"
    : >"$dir/rabbitmq-env.conf"
    local -a environment=(
        HOME="$dir"
        ERL_EPMD_PORT="$epmd" ERL_EPMD_ADDRESS=127.0.0.1
        RABBITMQ_NODENAME="herald-$$@localhost" RABBITMQ_DIST_PORT="$dist"
        RABBITMQ_CONF_ENV_FILE="$dir/rabbitmq-env.conf" RABBITMQ_CONFIG_FILE="$dir/rabbitmq"
        RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins"
        RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/log"
        RABBITMQ_PID_FILE="$dir/pid" RABBITMQ_GENERATED_CONFIG_DIR="$dir/generated"
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
    )
    start epmd TERM - env "${environment[@]}" epmd
    start rabbitmq TERM - env "${environment[@]}" /usr/lib/rabbitmq/bin/rabbitmq-server
    RABBITMQ_PID=$LAST_PID
    AMQP_URL=amqp://guest:guest@127.0.0.1:$amqp/%2f
    AMQP_API=http://guest:guest@127.0.0.1:$api
    RABBITMQ_CHECK=$AMQP_API/api/health/checks/port-listener/$amqp
}

await_rabbitmq() {
    LAST_PID=$RABBITMQ_PID
    await rabbitmq 90 curl -fsS -m 5 "$RABBITMQ_CHECK"
}

# Sets POSTGRES_URL, whose user may create databases. POSTGRES_FSYNC=on makes commits durable, for which tests
# need not wait.
start_postgres() {
    local dir=$WORK/postgres bin port user=-
    bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    free_port port
    mkdir -p "$dir"
    local -a as=()
    if [ "$(id -u)" = 0 ]; then
        user=postgres
        chown postgres "$dir"
        as=(setpriv --reuid postgres --regid postgres --init-groups --)
    fi
    ${as[@]+"${as[@]}"} "$bin/initdb" -D "$dir/data" -U herald -A trust -E UTF8 --locale C.UTF-8 --no-sync \
        >"$WORK/initdb.log" 2>&1 || {
        cat "$WORK/initdb.log" >&2
        die "the PostgreSQL cluster was not created"
    }
    # SIGINT is its fast shutdown.
    start postgres INT "$user" "$bin/postgres" -D "$dir/data" -p "$port" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories="$dir" -c fsync="${POSTGRES_FSYNC:-off}" -c max_connections=300
    POSTGRES_PID=$LAST_PID
    POSTGRES_CHECK=("$bin/pg_isready" -q -h 127.0.0.1 -p "$port")
    POSTGRES_URL=postgres://herald:herald@127.0.0.1:$port/postgres
}

await_postgres() {
    LAST_PID=$POSTGRES_PID
    await postgres 60 "${POSTGRES_CHECK[@]}"
}

# Sets MYSQL_URL, whose user may create databases.
start_mariadb() {
    local dir=$WORK/mariadb port user
    user=$(id -un)
    free_port port
    mkdir -p "$dir/tmp"
    if [ "$(id -u)" = 0 ]; then
        user=mysql
        chown -R mysql "$dir"
    fi
    mariadb-install-db --no-defaults --user="$user" --datadir="$dir/data" --skip-test-db \
        --auth-root-authentication-method=normal >"$WORK/mariadb-install.log" 2>&1 || {
        tail -n 20 "$WORK/mariadb-install.log" >&2
        die "the MariaDB data folder was not created"
    }
    MYSQL_SOCKET=$dir/socket
    start mariadb TERM "$user" "$(PATH=$PATH:/usr/sbin command -v mariadbd)" --no-defaults \
        --datadir="$dir/data" --tmpdir="$dir/tmp" --socket="$MYSQL_SOCKET" --pid-file="$dir/pid" \
        --bind-address=127.0.0.1 --port="$port" --skip-name-resolve --skip-log-bin \
        --character-set-server=utf8mb4 --max-connections=300
    MYSQL_PID=$LAST_PID
    MYSQL_URL=mysql://herald:herald@127.0.0.1:$port/mysql
}

await_mariadb() {
    LAST_PID=$MYSQL_PID
    await mariadb 60 mariadb --no-defaults --socket="$MYSQL_SOCKET" -u root -e \
        "CREATE USER IF NOT EXISTS herald@'127.0.0.1' IDENTIFIED BY 'herald';
         GRANT ALL ON *.* TO herald@'127.0.0.1' WITH GRANT OPTION"
}

MOTO=5.2.1

# need_pypi NAME VERSION PACKAGE: installs a package of PyPI below target/, once for each version; sets PYPI_BIN.
need_pypi() {
    local folder=$ROOT/target/servers/$1-$2
    PYPI_BIN=$folder/bin
    [ ! -e "$folder/complete" ] || return 0
    need_packages python3-venv || return 1
    say "installing $1 $2"
    rm -rf "$folder"
    {
        /usr/bin/python3 -m venv "$folder" &&
            "$folder/bin/pip" install --disable-pip-version-check -q "$3==$2" && touch "$folder/complete"
    } >"$WORK/pip.log" 2>&1 || {
        tail -n 20 "$WORK/pip.log" >&2
        rm -rf "$folder"
        note "error: $1 could not be installed"
        return 1
    }
}

# moto speaks SQS and S3.
need_moto() {
    need_pypi moto "$MOTO" 'moto[server,s3,sqs]' || return 1
    MOTO_SERVER=$PYPI_BIN/moto_server
}

# Sets AWS_URL: SQS and S3 by moto, in memory.
start_moto() {
    local port
    free_port port
    start moto TERM - env HOME="$WORK" "$MOTO_SERVER" -H 127.0.0.1 -p "$port"
    MOTO_PID=$LAST_PID
    AWS_URL=http://127.0.0.1:$port
}

await_moto() {
    LAST_PID=$MOTO_PID
    await moto 60 curl -fsS -m 5 "$AWS_URL/moto-api/data.json"
}
