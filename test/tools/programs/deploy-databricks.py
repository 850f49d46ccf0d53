# Asks a workspace who it is.
from databricks.sdk import WorkspaceClient

print("user:", WorkspaceClient().current_user.me().user_name)
