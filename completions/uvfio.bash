# SPDX-License-Identifier: MIT
# bash completion for uvfio
_uvfio()
{
	local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]-} i
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "run list explain check machine doctor --help --version" -- "$cur")
		return
	fi
	if [[ ${COMP_WORDS[COMP_CWORD-1]} == -m || $verb == check ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	if [[ $verb == run && ${COMP_WORDS[COMP_CWORD-1]} == --pins ]]; then
		mapfile -t COMPREPLY < <(compgen -W "true address" -- "$cur")
		return
	fi
	case $verb in
	run)
		for ((i = 2; i < COMP_CWORD; i++)); do
			if [[ ${COMP_WORDS[i]} == -- || ${COMP_WORDS[i]} != -* && ${COMP_WORDS[i-1]} != @(-m|--pins) ]]; then
				mapfile -t COMPREPLY < <(compgen -c -f -- "$cur")
				return
			fi
		done
		mapfile -t COMPREPLY < <(compgen -W "-m -q --pins --" -- "$cur") ;;
	list) mapfile -t COMPREPLY < <(compgen -W "-m --json" -- "$cur") ;;
	explain)
		mapfile -t COMPREPLY < <(compgen -W "-m $(uvfio list --json 2> /dev/null |
			grep -o '[0-9a-f]\{4\}:[0-9a-f]\{2\}:[0-9a-f]\{2\}\.[0-7]' | sort -u)" -- "$cur") ;;
	esac
}
complete -F _uvfio uvfio
