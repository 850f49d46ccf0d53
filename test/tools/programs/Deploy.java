import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;
import com.azure.identity.AzurePipelinesCredentialBuilder;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.identity.ManagedIdentityCredentialBuilder;
import com.azure.identity.WorkloadIdentityCredentialBuilder;
import java.util.regex.Pattern;

/** Holds one credential, as a deployment does, and needs tokens before and after the first ID token's end. */
public class Deploy {
    private static final String KEY_VAULT = "https://vault.azure.net/.default";
    private static final String RESOURCE_MANAGER = "https://management.azure.com/.default";

    public static void main(String[] arguments) throws InterruptedException {
        TokenCredential credential = create(arguments[0]);
        show("first", credential, KEY_VAULT);
        Thread.sleep(Long.parseLong(System.getenv("PAUSE")) * 1000);
        show("another resource", credential, RESOURCE_MANAGER);
        show("a new credential", create(arguments[0]), RESOURCE_MANAGER);
        System.exit(0);
    }

    private static TokenCredential create(String name) {
        return switch (name) {
            case "WorkloadIdentityCredential" -> new WorkloadIdentityCredentialBuilder().build();
            case "ManagedIdentityCredential" -> new ManagedIdentityCredentialBuilder().build();
            case "AzurePipelinesCredential" -> new AzurePipelinesCredentialBuilder()
                .tenantId(System.getenv("AZURESUBSCRIPTION_TENANT_ID"))
                .clientId(System.getenv("AZURESUBSCRIPTION_CLIENT_ID"))
                .serviceConnectionId(System.getenv("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"))
                .systemAccessToken(System.getenv("SYSTEM_ACCESSTOKEN"))
                .build();
            default -> new DefaultAzureCredentialBuilder().build();
        };
    }

    private static void show(String what, TokenCredential credential, String scope) {
        try {
            credential.getTokenSync(new TokenRequestContext().addScopes(scope));
            System.out.println(what + ": a token");
        } catch (RuntimeException failure) {
            var code = Pattern.compile("AADSTS\\d+").matcher(String.valueOf(failure.getMessage()));
            System.out.println(what + ": " + (code.find() ? code.group() : failure));
        }
    }
}
