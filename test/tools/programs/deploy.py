# Holds one credential, as a deployment does, and needs tokens before and after the first ID token's end.
import os
import re
import time

from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential

KEY_VAULT = "https://vault.azure.net/.default"
RESOURCE_MANAGER = "https://management.azure.com/.default"


def show(what, credential, scope):
    try:
        credential.get_token(scope)
        print(f"{what}: a token")
    except ClientAuthenticationError as error:
        code = re.search(r"AADSTS\d+", str(error))
        print(f"{what}: {code.group() if code else error}")


credential = DefaultAzureCredential()
show("first", credential, KEY_VAULT)
time.sleep(float(os.environ["PAUSE"]))
show("another resource", credential, RESOURCE_MANAGER)
show("a new credential", DefaultAzureCredential(), RESOURCE_MANAGER)
