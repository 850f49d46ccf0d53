# Holds one credential, as a deployment does, and needs tokens before and after the first ID token's end.
import os
import time

import google.auth
from google.auth.transport.requests import Request


def show(what):
    if not credentials.valid:
        credentials.refresh(Request())
    print(f"{what}: {'a token' if credentials.valid else 'no token'}")


credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
show("first")
time.sleep(float(os.environ["PAUSE"]))
show("again")
