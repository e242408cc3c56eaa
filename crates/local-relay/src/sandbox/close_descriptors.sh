# Closes inherited descriptors, which lead out of any sandbox, and executes the arguments.
for fd in /proc/self/fd/* /dev/fd/*; do
    fd=${fd##*/}
    case $fd in
    [012] | *[!0-9]*) ;;
    *) eval "exec $fd>&-" ;;
    esac
done
exec "$@"
