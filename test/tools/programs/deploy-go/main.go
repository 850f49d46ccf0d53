// Holds one credential, as a deployment does, and needs tokens before and after the first ID token's end.
package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

const (
	keyVault        = "https://vault.azure.net/.default"
	resourceManager = "https://management.azure.com/.default"
)

func create(name string) (azcore.TokenCredential, error) {
	switch name {
	case "WorkloadIdentityCredential":
		return azidentity.NewWorkloadIdentityCredential(nil)
	case "ManagedIdentityCredential":
		return azidentity.NewManagedIdentityCredential(nil)
	case "AzurePipelinesCredential":
		return azidentity.NewAzurePipelinesCredential(os.Getenv("AZURESUBSCRIPTION_TENANT_ID"),
			os.Getenv("AZURESUBSCRIPTION_CLIENT_ID"), os.Getenv("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"),
			os.Getenv("SYSTEM_ACCESSTOKEN"), nil)
	default:
		return azidentity.NewDefaultAzureCredential(nil)
	}
}

func show(what string, credential azcore.TokenCredential, scope string) {
	_, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
	switch code := regexp.MustCompile(`AADSTS\d+`).FindString(fmt.Sprint(err)); {
	case err == nil:
		fmt.Printf("%s: a token\n", what)
	case code != "":
		fmt.Printf("%s: %s\n", what, code)
	default:
		fmt.Printf("%s: %v\n", what, err)
	}
}

func must(credential azcore.TokenCredential, err error) azcore.TokenCredential {
	if err != nil {
		panic(err)
	}
	return credential
}

func main() {
	pause, err := time.ParseDuration(os.Getenv("PAUSE") + "s")
	if err != nil {
		panic(err)
	}
	credential := must(create(os.Args[1]))
	show("first", credential, keyVault)
	time.Sleep(pause)
	show("another resource", credential, resourceManager)
	show("a new credential", must(create(os.Args[1])), resourceManager)
}
