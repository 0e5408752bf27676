# SPDX-License-Identifier: MIT
# For the tests of real programs: $1 is the uvfio program, $2 the folder of this file's build, and each check prints one line.
uvfio=$1
here=$(cd "$(dirname "$0")" && pwd)
build=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

# check NAME COMMAND...: one check; its output is shown when it fails
check()
{
	name=$1
	shift
	if "$@" > "$tmp/check.out" 2>&1; then
		echo "ok $name"
	else
		echo "not ok $name (status $?)"
		tail -n 40 "$tmp/check.out" | sed 's/^/# /'
		failed=1
	fi
}

# need PROGRAM...: skip the whole test when one is not installed
need()
{
	for p; do
		if ! command -v "$p" > /dev/null; then
			echo "skip: $p is not installed"
			exit 77
		fi
	done
}

finish()
{
	exit $failed
}
