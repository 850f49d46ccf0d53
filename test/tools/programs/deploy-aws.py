# Holds one client, as a deployment does, and calls before and after the first ID token's end.
import os
import time

import boto3

client = boto3.client("sts")
print("first:", client.get_caller_identity()["Arn"])
time.sleep(float(os.environ["PAUSE"]))
print("again:", client.get_caller_identity()["Arn"])
