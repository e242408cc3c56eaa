# Runs in the sandbox, in any POSIX sh with the tools that busybox and coreutils both have. See the docs of the module.
# Each call names one of these functions and its arguments. `lib` holds this text, and `again` evaluates it.
base=${HOME:-/root}/.twentyfirst/processes
again='lib=$1; shift; eval "$lib"; "$@"'
detach=nohup
if command -v setsid >/dev/null 2>&1; then detach='setsid'; fi

pause() {
    sleep "$1" 2>/dev/null || sleep 1
}

# Sets `born` to the start time of a process, which no later process with its number has; `-` without /proc. Fails if it is dead.
birth() {
    if [ ! -r /proc/self/stat ]; then
        born=-
        kill -s 0 "$1" 2>/dev/null
        return
    fi
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    set -- ${stat##*) }
    born=${20}
    case $1 in Z | X) return 1 ;; esac
}

# Prints number, start time and boot id of a process. After a restart of the machine both numbers can recur.
identify() {
    birth "$1"
    booted
    echo "$1 $born $boot"
}

booted() {
    boot=-
    if [ -r /proc/sys/kernel/random/boot_id ]; then read -r boot </proc/sys/kernel/random/boot_id; fi
}

# Succeeds if the process that a file identifies is alive. Sets `pid`.
lives() {
    pid=
    [ -r "$1" ] || return 1
    read -r pid was when kind <"$1"
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    booted
    [ "$boot" = "$when" ] && birth "$pid" && [ "$born" = "$was" ]
}

# Succeeds if a member of the group `pid` is alive. A dead process stays in its group until it is reaped.
group_lives() {
    if [ ! -r /proc/self/stat ]; then
        kill -s 0 -- "-$pid" 2>/dev/null
        return
    fi
    for entry in /proc/[0-9]*/stat; do
        { read -r stat <"$entry"; } 2>/dev/null || continue
        set -- ${stat##*) }
        if [ "$3" = "$pid" ]; then
            case $1 in Z | X) ;; *) return 0 ;; esac
        fi
    done
    return 1
}

# Sets `state`.
state() {
    if [ -e "$dir/exit" ]; then
        read -r state <"$dir/exit"
        state="exited $state"
    elif lives "$dir/claim"; then
        state=running
    elif [ -e "$dir/exit" ]; then
        state
    elif [ -e "$dir/claim" ]; then
        state=gone
    elif [ -d "$dir" ]; then
        state=starting
    else
        state=unknown
    fi
}

is_under_way() {
    state
    case $state in starting | running) return 0 ;; *) return 1 ;; esac
}

report() {
    state
    echo "state $state"
    if [ -r "$dir/pid" ]; then
        read -r pid rest <"$dir/pid"
        echo "pid $pid"
    fi
}

# spawn ID LIMIT GRACE INPUT COMMAND [NAME OF A VARIABLE]...
spawn() {
    dir=$base/$1 command=$5
    shift
    # Checked here, because the errors of the supervisor are not read.
    for tool in base64 cat date dd env head ln ls mkdir mv rm sleep tail tr; do
        command -v "$tool" >/dev/null && continue
        echo "$tool: not found" >&2
        exit 127
    done
    (umask 077 && mkdir -p "$base") && mkdir -p "$dir" || exit
    if [ ! -e "$dir/claim" ]; then
        # A background child of a shell ignores SIGINT and SIGQUIT for good, and a member of a pipeline does not. So the supervisor
        # is a member of a pipeline, whose shell does not wait for it.
        { sh -c '"$@" </dev/null >/dev/null 2>&1 | kill -s KILL $$' sh \
            "$detach" sh -c "$again" sh "$lib" supervise "$dir" "$@"; } 2>/dev/null
        n=0
        until [ -e "$dir/claim" ] || [ $n -ge 500 ]; do
            pause 0.02
            n=$((n + 1))
        done
    fi
    if [ -e "$dir/claim" ] && [ "$(tail -n +3 "$dir/claim" && echo .)" != "$command." ]; then
        echo other
    fi
    report
    echo end
}

# Runs the command if this is the first claim of the id, and records its exit code.
supervise() {
    dir=$1 limit=$2 grace=$3 input=$4 command=$5
    shift 5
    new=$dir/.claim.$$
    {
        identify $$
        echo "$input $(date +%s)"
        printf %s "$command"
    } >"$new"
    ln "$new" "$dir/claim" && claimed=yes || claimed=no
    rm -f "$new"
    [ $claimed = yes ] || exit
    if [ "$limit" -gt 0 ]; then
        "$detach" sh -c "$again" sh "$lib" watch "$dir" "$limit" "$grace" &
        watch=$!
    fi
    if [ "$input" = 1 ]; then
        feed | "$detach" sh -c "$again" sh "$lib" launch "$dir" "$command" "$@" >>"$dir/stdout" 2>>"$dir/stderr"
    else
        "$detach" sh -c "$again" sh "$lib" launch "$dir" "$command" "$@" >>"$dir/stdout" 2>>"$dir/stderr"
    fi
    code=$?
    reason=-
    if [ -e "$dir/timeout" ]; then reason=timeout; fi
    echo "$code $reason" >"$dir/.exit" && mv "$dir/.exit" "$dir/exit"
    if [ "$limit" -gt 0 ]; then kill -s KILL -- "-$watch" || kill -s KILL "$watch"; fi
}

# Becomes the command. Its variables have other names until then, so that they do not affect the script.
launch() {
    dir=$1 command=$2
    shift 2
    kind=single
    if [ "$detach" = setsid ]; then kind=group; fi
    echo "$(identify $$) $kind" >"$dir/.pid" && mv "$dir/.pid" "$dir/pid"
    shell=$(command -v bash || echo sh)
    n=0 names=$#
    while [ $n -lt $names ]; do
        eval "value=\$TWENTYFIRST_ENV_$n"
        unset "TWENTYFIRST_ENV_$n"
        set -- "$@" "$1=$value"
        shift
        n=$((n + 1))
    done
    exec env -- "$@" "$shell" -c -- "$command"
}

# Ends the command after its time limit.
watch() {
    dir=$1
    sleep "$2"
    if is_under_way; then
        : >"$dir/timeout"
        finish "$3"
    fi
}

# Passes on standard input until it is closed or the command has ended.
feed() {
    n=1
    while :; do
        if [ -e "$dir/in/$n" ]; then
            read -r nonce kind <"$dir/in/$n"
            [ "$kind" = data ] || return
            tail -n +2 "$dir/in/$n" || return
            echo "$nonce $kind" >"$dir/.fed" && mv "$dir/.fed" "$dir/in/$n"
            n=$((n + 1))
        else
            [ ! -e "$dir/exit" ] || return
            pause 0.1
        fi
    done
}

# write ID NONCE KIND BASE64: each piece is a file that is created atomically. An existing nonce means that the piece was written.
write() {
    dir=$base/$1
    is_under_way
    echo "state $state"
    input=0
    if [ -r "$dir/claim" ]; then
        { read -r rest; read -r input rest; } <"$dir/claim"
    fi
    if [ "$input" != 1 ]; then
        echo "input none"
    elif [ "$state" = running ]; then
        mkdir -p "$dir/in"
        n=1
        new=$dir/.in.$2
        {
            echo "$2 $3"
            printf %s "$4" | base64 -d
        } >"$new" || exit
        until [ ! -e "$dir/in/$n" ] && ln "$new" "$dir/in/$n" 2>/dev/null; do
            [ -e "$dir/in/$n" ] || exit
            read -r nonce kind <"$dir/in/$n"
            [ "$nonce" != "$2" ] || break
            if [ "$kind" != data ]; then
                echo "input closed"
                break
            fi
            n=$((n + 1))
        done
        rm -f "$new"
    fi
    echo end
}

# look ID TENTHS STDOUT STDERR BLOCKS: waits for output after these offsets, or for the end, and prints pages. `-` is no offset.
look() {
    dir=$base/$1
    n=0
    while is_under_way && [ $n -lt "$2" ]; do
        if is_longer stdout "$3" || is_longer stderr "$4"; then break; fi
        if [ $n -lt 20 ]; then
            pause 0.1
            n=$((n + 1))
        else
            pause 0.5
            n=$((n + 5))
        fi
    done
    # Before the pages: a command that has ended by now has written everything.
    echo "state $state"
    page stdout "$3" "$5"
    page stderr "$4" "$5"
    echo end
}

is_longer() {
    [ "$2" != - ] && [ -e "$dir/$1" ] || return 1
    least=$2
    set -- $(ls -ln "$dir/$1")
    [ "$5" -gt "$least" ]
}

# Whole blocks, because only dd can seek with every set of tools.
page() {
    if [ "$2" != - ] && [ -e "$dir/$1" ]; then
        printf '%s ' "$1"
        dd if="$dir/$1" bs=65536 skip=$(($2 / 65536)) count="$3" 2>/dev/null |
            tail -c +$(($2 % 65536 + 1)) | base64 | tr -d '\n'
        echo
    fi
}

# list [ID]
list() {
    if [ $# -gt 0 ]; then
        dir=$base/$1
        describe
    else
        for dir in "$base"/*; do
            if [ -e "$dir/claim" ]; then describe; fi
        done
    fi
    echo end
}

describe() {
    echo "process ${dir##*/}"
    report
    if [ -r "$dir/claim" ]; then
        { read -r rest; read -r input started; } <"$dir/claim"
        echo "started $started"
        printf 'command '
        tail -n +3 "$dir/claim" | head -c 4096 | base64 | tr -d '\n'
        echo
    fi
}

# stop ID TENTHS
stop() {
    dir=$base/$1
    n=0
    while is_under_way && [ ! -e "$dir/pid" ] && [ $n -lt 50 ]; do
        pause 0.1
        n=$((n + 1))
    done
    case $state in running | gone) finish "$2" ;; esac
    n=0
    while is_under_way && [ $n -lt 50 ]; do
        pause 0.1
        n=$((n + 1))
    done
    report
    echo end
}

# Ends the command and its group: SIGTERM, and SIGKILL if one of them is still there after this many tenths of a second.
finish() {
    lives "$dir/pid" || return 0
    if [ "$kind" = group ]; then
        if [ "$1" -gt 0 ]; then kill -s TERM -- "-$pid"; fi
        n=0
        while group_lives && [ $n -lt "$1" ]; do
            pause 0.1
            n=$((n + 1))
        done
        kill -s KILL -- "-$pid"
    else
        if [ "$1" -gt 0 ]; then kill -s TERM "$pid"; fi
        n=0
        while lives "$dir/pid" && [ $n -lt "$1" ]; do
            pause 0.1
            n=$((n + 1))
        done
        if lives "$dir/pid"; then kill -s KILL "$pid"; fi
    fi 2>/dev/null
}

# remove ID
remove() {
    dir=$base/$1
    is_under_way && [ -e "$dir/claim" ] || rm -rf "$dir"
    echo "state $state"
    echo end
}

# port NUMBER TENTHS: waits until something listens on it.
port() {
    hex=$(printf ':%04X 0A' "$1")
    n=0
    until listens; do
        if [ ! -r /proc/net/tcp ]; then
            echo "port unknown"
            break
        elif [ $n -ge "$2" ]; then
            echo "port closed"
            break
        fi
        pause 0.1
        n=$((n + 1))
    done
    echo end
}

listens() {
    for table in /proc/net/tcp /proc/net/tcp6; do
        [ -r $table ] || continue
        while read -r rest address peer status rest; do
            case "$address $status" in *"$hex") return 0 ;; esac
        done <$table
    done
    return 1
}
