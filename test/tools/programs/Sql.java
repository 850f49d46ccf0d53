import java.sql.DriverManager;
import java.sql.SQLException;

/** Connects, as a service does, before and after the first ID token's end. */
public class Sql {
    public static void main(String[] arguments) throws InterruptedException {
        String url = "jdbc:sqlserver://" + arguments[0] + ";databaseName=storefront;encrypt=true"
            + ";authentication=ActiveDirectoryManagedIdentity";
        show("first", url);
        Thread.sleep(Long.parseLong(System.getenv("PAUSE")) * 1000);
        show("again", url);
        System.exit(0);
    }

    private static void show(String what, String url) {
        try (var connection = DriverManager.getConnection(url); var statement = connection.createStatement()) {
            statement.execute("UPDATE greetings SET text = 'Hello'");
            System.out.println(what + ": done");
        } catch (SQLException failure) {
            System.out.println(what + ": " + failure.getMessage());
        }
    }
}
