terraform {
  backend "azurerm" {
    storage_account_name = "contoso"
    container_name       = "tfstate"
    key                  = "storefront.tfstate"
    use_azuread_auth     = true
  }
}

# A resource that takes longer than the first ID token lives.
resource "terraform_data" "deployment" {
  provisioner "local-exec" {
    command = "sleep $PAUSE"
  }
}
