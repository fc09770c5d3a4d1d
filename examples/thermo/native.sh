#!/bin/sh
# native.sh PROGRAM MODEL FOLDER: every recording of the folder, natively.
exec "$1" "$2" "$3"/*.json
