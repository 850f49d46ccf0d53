# Holds one credential, as a deployment does, and needs tokens before and after the first ID token's end.
import os
import re
import sys
import time

from azure import identity
from azure.core.exceptions import ClientAuthenticationError

KEY_VAULT = "https://vault.azure.net/.default"
RESOURCE_MANAGER = "https://management.azure.com/.default"


def create():
    if sys.argv[1] == "AzurePipelinesCredential":
        return identity.AzurePipelinesCredential(
            tenant_id=os.environ["AZURESUBSCRIPTION_TENANT_ID"],
            client_id=os.environ["AZURESUBSCRIPTION_CLIENT_ID"],
            service_connection_id=os.environ["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"],
            system_access_token=os.environ["SYSTEM_ACCESSTOKEN"],
        )
    return getattr(identity, sys.argv[1])()


def show(what, credential, scope):
    try:
        credential.get_token(scope)
        print(f"{what}: a token")
    except ClientAuthenticationError as error:
        code = re.search(r"AADSTS\d+", str(error))
        print(f"{what}: {code.group() if code else error}")


credential = create()
show("first", credential, KEY_VAULT)
time.sleep(float(os.environ["PAUSE"]))
show("another resource", credential, RESOURCE_MANAGER)
show("a new credential", create(), RESOURCE_MANAGER)
