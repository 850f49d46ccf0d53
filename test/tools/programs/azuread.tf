terraform {
  required_providers {
    azuread = { source = "hashicorp/azuread" }
  }
}

data "azuread_application" "before" {
  client_id = "0a7d4c52-93be-4f18-8c6e-d5b1f2e3a947"
}

# A resource that takes longer than the first ID token lives.
resource "terraform_data" "deployment" {
  depends_on = [data.azuread_application.before]
  provisioner "local-exec" {
    command = "sleep $PAUSE"
  }
}

data "azuread_application" "after" {
  client_id  = "0a7d4c52-93be-4f18-8c6e-d5b1f2e3a947"
  depends_on = [terraform_data.deployment]
}
