#!/bin/sh
# SPDX-License-Identifier: MIT
# Checks ownership.pml with spin, one line a property; then, that the model can be found wrong: one line a broken rule.
#
# usage: run.sh [all]        all: with every actor at once; takes minutes and gigabytes
#
# When a property fails, the last steps of a run that breaks it are shown.
here=$(cd "$(dirname "$0")" && pwd)
for p in spin gcc; do
	if ! command -v $p > /dev/null; then
		echo "skip: $p is not installed"
		exit 77
	fi
done
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
failed=0

# The A_ numbers of ownership.pml.
binder0=1 binder1=2 binder2=4 plugger=8 user1=16 user2=32 dma=64 endless=128 forever=256 resetter=512
drivers=$((binder0 + binder2))
protocol=$((drivers + plugger + user1 + user2))             # no DMA, so all who take locks
engine=$((drivers + plugger + user1 + dma + forever))       # DMA against everything that changes what it may reach
rivals=$((drivers + user1 + user2 + dma + forever))
ends=$((binder2 + user1 + dma + endless))
resets=$((binder2 + plugger + resetter + user1))
depth=2000000
if [ "$1" = all ]; then
	protocol=$((protocol + binder1))
	engine=$((engine + binder1))
	ends=$((ends + binder0))
	resets=$((resets + user2))
	depth=20000000
fi

build()
{
	cp "$here/ownership.pml" . && spin -a ownership.pml > build.log 2>&1 &&
		gcc -O2 -w -DSAFETY -DNOCLAIM -DCOLLAPSE -o safety pan.c >> build.log 2>&1 &&
		gcc -O2 -w -DCOLLAPSE -DNFAIR=3 -o liveness pan.c >> build.log 2>&1 && return
	echo "not ok spin-build - the model is compiled"
	sed 's/^/# /' build.log
	exit 1
}

# safety ACTORS [MUTANT PROPERTY]: every reachable state of the model; what is wrong goes to $wrong, else it is empty
safety()
{
	search ACTORS="$1" MUTANT="${2:-0}" ${3:+PROPERTY="$3"} ./safety
}

# liveness ACTORS LTL [MUTANT]: every infinite run in which nobody who can go on waits for ever
liveness()
{
	search ACTORS="$1" MUTANT="${3:-0}" ./liveness -a -f -N "$2"
}

search()
{
	env "$@" -m$depth -w22 > out 2>&1
	again="$*"
	wrong=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' out)
	if [ -z "$wrong" ] && { ! grep -q 'errors: 0$' out || grep -q 'max search depth too small' out; }; then
		wrong="not searched to the end"
	fi
}

# holds NAME PATTERN SENTENCE: after a search, which ends with the first failure: then the others are not proven
holds()
{
	if [ -z "$wrong" ]; then
		echo "ok $1 - $3"
		return
	fi
	failed=1
	echo "not ok $1 - $3: $wrong"
	if echo "$wrong" | grep -q "$2"; then
		# shellcheck disable=SC2086
		env $again -r | grep -E '^ *[0-9]+:' | tail -n 60 | sed 's/^/# /'
	fi
}

# caught NAME PATTERN SENTENCE: after the search of a mutant, which must have found this
caught()
{
	if echo "$wrong" | grep -q "$2"; then
		echo "ok broken-$1 - $3, and it is found"
	else
		failed=1
		echo "not ok broken-$1 - $3, and it is not found: ${wrong:-no error}"
	fi
}

build
safety $protocol
holds one-owner one_owner "a kernel driver is bound or a user owns the group, never both, in any order of calls"
holds driver-alone driver_alone "while a kernel driver is bound no function is in a user's domain"
holds blocked-or-users blocked_or_users "while a user owns the group every function is blocked or in his domain"
holds kernels-again kernels_again "while nobody owns the group it is in the kernel's domain"
holds claim-has-file claim_has_file "who owns the group has it open"
holds counts counts "the counts are right at every moment, and zero in the end"
holds no-deadlock 'invalid end' "whatever waits for whatever, all calls can end: there is no deadlock"
safety $engine
holds dma-kernel dma_kernel "no DMA uses the kernel's domain while a user owns the group"
holds dma-owner dma_owner "DMA reaches a user's memory only while he owns the group and no kernel driver is bound"
holds dma-pinned dma_pinned "DMA reaches no page that UNMAP or the end of a claim has given back"
if [ "$1" = all ]; then
	safety $rivals
	holds dma-rivals dma_ "so it is with two users who want the group"
fi
safety $resets
holds resets . "all of it holds while a function of the group is being reset, plugged and unplugged"
safety $((binder2 + resetter + user1 + dma + forever))
holds dma-resets . "and DMA of it and of the others reaches nothing meanwhile that it should not"
liveness $ends claims_end
holds claims-end cycle "every claim ends when its holder lets go, under endless DMA"
liveness $ends calls_end
holds calls-end cycle "every call returns, under endless DMA"

safety $protocol 1 one_owner
caught owner-check one_owner "a kernel driver that binds does not look for an owner"
safety $protocol 2 one_owner
caught claim-check one_owner "a claim does not look for kernel drivers"
safety $protocol 3 one_owner
caught use-after-probe one_owner "a kernel driver is counted after its probe"
safety $protocol 4 one_owner
caught unuse-early one_owner "a kernel driver is counted out before its remove"
safety $protocol 5 blocked_or_users
caught claim-stays blocked_or_users "a claim leaves the functions in the kernel's domain"
safety $protocol 6 driver_alone
caught release-first driver_alone "a claim is released before the user's domain is detached"
safety $protocol 7 blocked_or_users
caught join-default blocked_or_users "a function that is plugged in gets the kernel's domain instead of the group's"
safety $engine 8 dma_owner
caught no-dma-wait dma_owner "nobody waits for DMA that is under way"
safety $engine 9 dma_pinned
caught unpin-early dma_pinned "pages are unpinned before the functions have left the user's domain"
safety $protocol 10
caught lock-kept 'invalid end' "unregistering a device waits for its users with the group's lock held"
liveness $ends calls_end 11
caught wait-for-empty cycle "a wait for DMA is a wait for a moment without any"
safety $protocol 12
caught close-keeps claim_has_file "closing a group keeps the claim"
safety $resets 13 driver_alone
caught reset-back driver_alone "a function gets the domain back that it had before its reset"
exit $failed
