# What a script does that uses the Azure CLI: an ID token, a sign-in with it, and an access token.
set -e
AZURE_CONFIG_DIR=$(mktemp -d "$AGENT_TEMPDIRECTORY/az-XXXXXX")
export AZURE_CONFIG_DIR
trap 'rm -rf "$AZURE_CONFIG_DIR"' EXIT
id_token=$(curl -fsS --noproxy '*' --cacert "$BENCH_CA" -X POST -d '' -H "Authorization: Bearer $BENCH_JOB_TOKEN" \
  -H 'Content-Type: application/json' "$BENCH_ID_TOKEN_URL" | sed -n 's/.*"oidcToken":"\([^"]*\)".*/\1/p')
az login --service-principal --username "$BENCH_CLIENT_ID" --tenant "$BENCH_TENANT_ID" \
  --federated-token "$id_token" --allow-no-subscriptions --output none
az account get-access-token --resource https://management.core.windows.net/ --query accessToken --output tsv
