#!/bin/sh
# Makes the disk that a container would have out of folders, and runs a program there: walls.sh PLACE PYTHON NAME TMP DATA
# command …, in namespaces of its own (mount, pid, uts). PLACE has the image's `app` and `venv`, and `etc` with what Docker
# would write there; PYTHON is what its packages were installed for; TMP are the options of /tmp, DATA a volume or nothing.
set -eu
place=$1 python=$2 name=$3 tmp=$4 data=$5
shift 5
root=$place/root

show() { # something of this machine, which nobody in there can change
    if [ -d "$1" ]; then mkdir -p "$root$2"; fi
    mount --bind "$1" "$root$2"
    mount -o remount,bind,ro "$root$2"
}

scratch() { # an empty folder for everybody, as Docker makes it
    mkdir -p "$root$1"
    mount -t tmpfs -o "nosuid,nodev,noexec,mode=1777,$2" scratch "$root$1"
}

mount -t tmpfs -o mode=755 root "$root"
for part in bin lib lib64 sbin; do
    if [ -L "/$part" ]; then cp -P "/$part" "$root/$part"; elif [ -d "/$part" ]; then show "/$part" "/$part"; fi
done
show /usr /usr
show "$python" "$python"
show /etc /etc
for file in hosts passwd group; do show "$place/etc/$file" "/etc/$file"; done
show "$place/app" /app
show "$place/venv/" /opt/packshot
mkdir "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
for device in null zero full random urandom; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
scratch /dev/shm size=64m
scratch /tmp "$tmp"
if [ -n "$data" ]; then
    mkdir "$root/data"
    mount --bind "$data" "$root/data"
fi
hostname "$name"

# A root that was only changed (chroot) would let nobody make a namespace of users, which the last line may need.
mkdir "$root/old"
cd "$root"
pivot_root . old
umount -l /old
rmdir /old
mount -o remount,bind,ro /
cd /app

read -r _ _ known < /proc/self/uid_map
if [ "$known" -gt 1 ]; then
    as="setpriv --reuid=10001 --regid=10001 --clear-groups"
else # we are somebody who has been called root: then he is called something else
    as="unshare --user --map-user=10001 --map-group=10001 --keep-caps setpriv --ambient-caps=-all"
fi
# shellcheck disable=SC2086 # words, not a word
exec $as --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
