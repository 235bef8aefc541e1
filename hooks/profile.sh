# Prints at login what of the user's the next boot undoes: a file that `blankroot audit` prepared, and nothing else.
case $- in
*i*)
    # Only some shells know EUID.
    # shellcheck disable=SC3028
    blankroot_told=/run/blankroot/login/${EUID:-$(id -u)}
    if [ -r "$blankroot_told" ]; then
        while IFS= read -r blankroot_line; do
            printf '%s\n' "$blankroot_line"
        done <"$blankroot_told"
    fi
    unset blankroot_told blankroot_line
    ;;
esac
