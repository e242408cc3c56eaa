# Makes the mounts of a sandbox in new namespaces, as the first process of them. Called in the sandbox's directory, with
# `unshare` as its name and the script that goes on as its argument.
#
# That one runs in further namespaces of users and mounts within these: there all mounts are locked, so that not even
# root can undo them.
#
# `-n`, since there is no table of mounts to keep. Paths are not canonicalized where the mounts hide the way there.
set -e

# The number of this process as the host counts: until near the end, `/proc` is still the host's.
read -r pid rest </proc/self/stat

# The whole system can be read only. What cannot be reached is hidden by another mount.
while read -r id parent device root place rest; do
    place=$(printf '%b' "$place")
    [ "$place" = /proc ] || mount -n -o remount,bind,ro "$place" 2>/dev/null || ! mountpoint -q "$place"
done </proc/self/mountinfo

# Other people's files. What is to be mounted elsewhere is made here first, while the host's is still to be seen.
mount -n -t tmpfs -o mode=755,size=1m tmpfs /home
mkdir /home/user /home/dev /home/run

# Devices that do nothing to the host, without its terminals. Memory to share and terminals of the sandbox's own follow.
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

# Sockets of services, which do what they are asked with rights of their own. Some systems keep links to their programs
# beside them, and what names hosts.
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

# The sandbox's directories. Those of other sandboxes are beside this one.
for place in home/user root tmp; do
    mount -n --no-canonicalize --bind "$place" "/$place"
    mount -n -o remount,bind,rw "/$place"
done
case ${PWD%/*} in
'' | /tmp | /tmp/* | /home | /home/* | /root | /root/*) ;;
*) mount -n -t tmpfs -o ro,mode=755,size=1m tmpfs "${PWD%/*}" ;;
esac
cd /

# The sandbox's processes, and no settings of the kernel.
mount -n -t proc proc /proc
for place in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger; do
    if [ -e $place ]; then
        mount -n --bind $place $place
        mount -n -o remount,bind,ro $place
    fi
done

exec "$0" --user --map-root-user --mount -- /bin/sh -c "$1" sh "$pid" 2>/dev/null
