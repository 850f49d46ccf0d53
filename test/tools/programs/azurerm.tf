terraform {
  required_providers {
    azurerm = { source = "hashicorp/azurerm" }
  }
}

provider "azurerm" {
  resource_provider_registrations = "none"
  features {}
}

data "azurerm_resource_group" "before" {
  name = "storefront"
}

# A resource that takes longer than the first ID token lives.
resource "terraform_data" "deployment" {
  depends_on = [data.azurerm_resource_group.before]
  provisioner "local-exec" {
    command = "sleep $PAUSE"
  }
}

data "azurerm_resource_group" "after" {
  name       = "identities"
  depends_on = [terraform_data.deployment]
}
