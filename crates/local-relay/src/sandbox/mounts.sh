# Makes the mounts of a sandbox, as the first process of new namespaces. Its working directory is the sandbox's directory, `$0` is
# `unshare`, and `$1` is the script to continue with.
#
# That script runs in inner user and mount namespaces. There all mounts are locked, so that not even root can undo them.
#
# `mount -n`, because there is no table of mounts to update; `--no-canonicalize`, because the mounts may hide the path.
set -e

# The id of this process on the host. Until near the end, `/proc` is still the host's.
read -r pid rest </proc/self/stat

# Makes the whole system read-only, or ends the script. A place that is no mount point from here is hidden by another mount.
while read -r id parent device root place rest; do
    place=$(printf '%b' "$place")
    [ "$place" = /proc ] || mount -n -o remount,bind,ro "$place" 2>/dev/null || ! mountpoint -q "$place"
done </proc/self/mountinfo

# Hides other people's files. The file systems for other places are built here first, while the host's are still visible.
mount -n -t tmpfs -o mode=755,size=1m tmpfs /home
mkdir /home/user /home/dev /home/run

# Harmless devices, without the host's terminals. The sandbox's own terminals and shared memory follow.
mount -n -t tmpfs -o mode=755,size=1m tmpfs /home/dev
for device in null zero full random urandom; do
    : >/home/dev/$device
    mount -n --bind /dev/$device /home/dev/$device
done
mkdir /home/dev/pts /home/dev/shm
ln -s /proc/self/fd /home/dev/fd
ln -s fd/0 /home/dev/stdin
ln -s fd/1 /home/dev/stdout
ln -s fd/2 /home/dev/stderr
ln -s pts/ptmx /home/dev/ptmx
mount -n --move /home/dev /dev
mount -n -o remount,bind,ro /dev
mount -n -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts
mount -n -t tmpfs -o mode=1777 tmpfs /dev/shm
rmdir /home/dev

# Hides the sockets of services, which act with rights of their own. Some systems keep links to programs there, and the configuration of
# the resolver: these are copied.
if [ -d /run ]; then
    mount -n -t tmpfs -o mode=755,size=1m tmpfs /home/run
    for link in /run/*; do
        [ ! -L "$link" ] || ln -s "$(readlink "$link")" "/home$link"
    done
    resolver=$(readlink -f /etc/resolv.conf || :)
    case $resolver in
    /run/*)
        mkdir -p "/home${resolver%/*}"
        cat "$resolver" >"/home$resolver"
        ;;
    esac
    mount -n --move /home/run /run
    mount -n -o remount,bind,ro /run
fi
rmdir /home/run
mount -n -o remount,bind,ro /home

# Mounts the sandbox's directories, and hides those of other sandboxes beside them.
for place in home/user root tmp; do
    mount -n --no-canonicalize --bind "$place" "/$place"
    mount -n -o remount,bind,rw "/$place"
done
case ${PWD%/*} in
'' | /tmp | /tmp/* | /home | /home/* | /root | /root/*) ;;
*) mount -n -t tmpfs -o ro,mode=755,size=1m tmpfs "${PWD%/*}" ;;
esac
cd /

# Shows the sandbox's processes, with read-only settings of the kernel.
mount -n -t proc proc /proc
for place in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger; do
    if [ -e $place ]; then
        mount -n --bind $place $place
        mount -n -o remount,bind,ro $place
    fi
done

exec "$0" --user --map-root-user --mount -- /bin/sh -c "$1" sh "$pid" 2>/dev/null
