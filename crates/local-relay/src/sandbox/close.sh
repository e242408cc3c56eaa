# Closes what was inherited: descriptors lead out of every sandbox.
for fd in /proc/self/fd/* /dev/fd/*; do
    fd=${fd##*/}
    case $fd in
    [012] | *[!0-9]*) ;;
    *) eval "exec $fd>&-" ;;
    esac
done
exec "$@"
