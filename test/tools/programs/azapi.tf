terraform {
  required_providers {
    azapi = { source = "Azure/azapi" }
  }
}

provider "azapi" {
  skip_provider_registration = true
}

data "azapi_resource_list" "before" {
  type      = "Microsoft.Resources/resourceGroups@2024-11-01"
  parent_id = "/subscriptions/7c0d2e9f-4b1a-4d63-8e5c-f6a7b8c9d0e1"
}

# A resource that takes longer than the first ID token lives.
resource "terraform_data" "deployment" {
  depends_on = [data.azapi_resource_list.before]
  provisioner "local-exec" {
    command = "sleep $PAUSE"
  }
}

data "azapi_resource_list" "after" {
  type       = "Microsoft.Resources/resourceGroups@2024-11-01"
  parent_id  = "/subscriptions/7c0d2e9f-4b1a-4d63-8e5c-f6a7b8c9d0e1"
  depends_on = [terraform_data.deployment]
}
