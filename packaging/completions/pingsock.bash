# bash completion of pingsock. Made by scripts/completions; change that instead.

_pingsock()
{
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} glued= words interfaces
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W 'ping doctor serve run sweep' -- "$current")
        return
    fi
    if [[ ${COMP_WORDS[1]} != ping ]]; then
        compopt -o default
        return
    fi
    # "--name=value" arrives as three words.
    if [[ $current == '=' ]]; then
        current='' glued=1
    elif [[ $before == '=' ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]} glued=1
    fi
    case $before in
        -M) words='do dont want probe' ;;
        -N) words='help name ipv6 ipv6-all ipv6-compatible ipv6-global ipv6-linklocal ipv6-sitelocal ipv4 ipv4-all subject-ipv6 subject-ipv4 subject-name subject-fqdn' ;;
        -T) words='tsonly tsandaddr tsprespec' ;;
        --socket) words='kernel borrowed served embedded raw' ;;
        --time) words='iso unix' ;;
        -I)
            interfaces=(/sys/class/net/*)
            # Words are expanded, and a device may be called anything.
            printf -v words '%q ' "${interfaces[@]##*/}"
            ;;
        --max-loss | --max-rtt | --probe | -c | -e | -F | -i | -l | -m | -p | -Q | -s | -S | -t | -w | -W) return ;;
        *)
            [[ $glued ]] && return
            if [[ $current != -* ]]; then
                mapfile -t COMPREPLY < <(compgen -A hostname -- "$current")
                return
            fi
            words='--color --info --json --mask --max-loss --max-rtt --percentiles --probe --socket --time --timestamp --until-down --until-up -3 -4 -6 -a -A -B -b -c -C -d -D -e -f -F -h -H -i -I -l -L -m -M -n -N -O -p -q -Q -r -R -s -S -t -T -U -v -V -w -W'
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _pingsock pingsock
