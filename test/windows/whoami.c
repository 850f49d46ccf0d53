/* Stands in for whoami.exe, of which Wine's knows no options: `whoami /user /fo csv /nh`, for whoever runs it. */
#include <stdio.h>
#include <windows.h>
#include <sddl.h>

int main(void) {
    HANDLE token;
    union { TOKEN_USER user; char space[256]; } owner;
    DWORD length;
    char *sid;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) return 1;
    if (!GetTokenInformation(token, TokenUser, &owner, sizeof owner, &length)) return 1;
    if (!ConvertSidToStringSidA(owner.user.User.Sid, &sid)) return 1;
    printf("\"machine\\agent\",\"%s\"\r\n", sid);
    return 0;
}
