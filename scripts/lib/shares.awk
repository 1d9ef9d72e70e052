# Where the time goes: the shares of Herald's parts in what `perf script` prints, by the stack of each sample.
#
#   perf script -i FILE --no-inline -F comm,ip,sym | awk -f scripts/lib/shares.awk

function part(thread, leaf, stack) {
    if (leaf ~ /^(_?_?(libc_)?(malloc|free|calloc|realloc)|_int_(malloc|free|realloc)|malloc_consolidate|unlink_chunk|tcache_)|cfree/) return "allocation"
    if (thread ~ /herald-ledger/) return "ledger commits"
    if (stack ~ /repository::(pages|insert|fresh|accept|events)|read_page|insert_new/) return "page reading and inserting"
    # Writes outside of the ledger's thread are pages, but for a few at the start and the end.
    if (stack ~ /BlockingTask/ && stack ~ /repository::connection::transaction/) return "page reading and inserting"
    if (stack ~ /(herald::|<)render::|herald::render|tera::/) return "rendering"
    if (stack ~ /mailer::(email|body)/) return "MIME"
    if (stack ~ /tcp_|sock_|inet_|__sys_(send|recv)|net_rx_action|__send |__recv |epoll_/) return "kernel, network"
    if (stack ~ /repository::|sqlite3/) return "other work on the database"
    if (stack ~ /mailer::/) return "SMTP engine"
    if (stack ~ /processor::/) return "processor, and what of the engine was inlined into it"
    return "runtime: waking, sleeping, changing tasks"
}

function take() {
    if (depth > 0) {
        counts[part(thread, leaf, stack)]++
        all++
    }
    depth = 0
    stack = ""
}

/^[^ \t]/ { take(); thread = $1; next }
NF == 0 { take(); next }
{
    $1 = ""
    if (depth++ == 0) leaf = substr($0, 2)
    stack = stack " " $0
}

END {
    take()
    for (name in counts) printf "%5.1f %%  %s\n", 100 * counts[name] / all, name | "sort -rn"
    close("sort -rn")
    printf "%d samples\n", all
}
