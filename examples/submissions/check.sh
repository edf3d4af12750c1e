#!/usr/bin/env bash
# Checks every bundle in a folder, takes it into a store with its standing, and renders its board anew.
# Status 1 if one is refuted or cannot be read; the others are checked all the same.
set -uo pipefail
from="${1:?folder of submissions}" out="${2:?folder for standings}" worst=0
mkdir -p "$out" boards
echo "| submission | standing |" > "$out/summary.md"
echo "|---|---|" >> "$out/summary.md"
shopt -s nullglob
number=0
for bundle in "$from"/*.zip; do
  number=$((number + 1))
  unveil submit "$bundle" --check --into "checked/$number" --json > "$out/$number.json"
  status=$?
  case "$status" in
    0) found="$(python -c 'import json, sys; print(json.load(sys.stdin)["state"])' < "$out/$number.json")" ;;
    1) found="**refuted**" worst=1 ;;
    *) found="**refused: no submission that can be read**" worst=1 ;;
  esac
  name="$(basename "$bundle" | tr -cd 'A-Za-z0-9._-')" # a name is not ours: it is no Markdown
  echo "| $name | $found ($out/$number.json) |" >> "$out/summary.md"
  for page in "checked/$number"/reports/*/leaderboard.html; do
    cp "$page" "boards/$number.html"
  done
done
cat "$out/summary.md"
exit "$worst"
