// The services that come with Bindery, in the form of a PROVIDERS_FILE. Endpoints that are absent
// are discovered from the MCP server's address; those written here are not discoverable there, or
// have been seen to answer differently. Where a provider changes, an operator's file overrides.

extension Catalogue {
  /// The built-in catalogue; a test reads it with the same strict reader as an operator's file.
  static let builtInJSON = #"""
    {
      "services": [
        {
          "id": "linear",
          "name": "Linear",
          "mcp_url": "https://mcp.linear.app/mcp",
          "transport": "streamable-http",
          "oauth": {
            "registration": "dynamic",
            "scopes": []
          },
          "refresh": {
            "rotates": true
          },
          "api_key": {
            "header": "Authorization",
            "format": "Bearer {key}",
            "instructions": "In Linear open Settings, Account, Security & access, and create a \#
    personal API key.",
            "validate": {
              "method": "mcp"
            }
          }
        },
        {
          "id": "todoist",
          "name": "Todoist",
          "mcp_url": "https://ai.todoist.net/mcp",
          "transport": "streamable-http",
          "oauth": {
            "registration": "dynamic",
            "scopes": ["data:read_write"],
            "scope_separator": ",",
            "revocation_url": "https://api.todoist.com/api/v1/revoke"
          },
          "refresh": {
            "rotates": true,
            "grace_seconds": 60
          },
          "api_key": {
            "header": "Authorization",
            "format": "Bearer {key}",
            "instructions": "In Todoist open Settings, Integrations, Developer, and copy the \#
    API token.",
            "validate": {
              "method": "http",
              "url": "https://api.todoist.com/api/v1/projects"
            }
          }
        },
        {
          "id": "github",
          "name": "GitHub",
          "mcp_url": "https://api.githubcopilot.com/mcp/",
          "transport": "streamable-http",
          "oauth": {
            "registration": "static",
            "scopes": ["repo", "read:org", "read:user"],
            "resource": false,
            "issuer": "https://github.com/login/oauth",
            "authorization_url": "https://github.com/login/oauth/authorize",
            "token_url": "https://github.com/login/oauth/access_token",
            "revocation": "github",
            "revocation_url": "https://api.github.com/applications",
            "client_authentication": "post"
          },
          "refresh": {
            "rotates": true,
            "background_interval_seconds": null,
            "dead_errors": ["bad_refresh_token"]
          },
          "api_key": {
            "header": "Authorization",
            "format": "Bearer {key}",
            "instructions": "On GitHub open Settings, Developer settings, Personal access \#
    tokens, and create a token with the scopes repo, read:org and read:user.",
            "validate": {
              "method": "http",
              "url": "https://api.github.com/user"
            }
          }
        },
        {
          "id": "atlassian",
          "name": "Atlassian",
          "mcp_url": "https://mcp.atlassian.com/v1/mcp",
          "transport": "streamable-http",
          "oauth": {
            "registration": "dynamic",
            "scopes": [],
            "issuer": "https://cf.mcp.atlassian.com",
            "authorization_url": "https://mcp.atlassian.com/v1/authorize",
            "token_url": "https://cf.mcp.atlassian.com/v1/token",
            "registration_url": "https://cf.mcp.atlassian.com/v1/register"
          },
          "refresh": {
            "rotates": true,
            "grace_seconds": 600,
            "default_lifetime_seconds": 3300
          },
          "api_key": {
            "header": "Authorization",
            "format": "Basic {key_base64}",
            "instructions": "Create an API token at id.atlassian.com under Security, and enter \#
    your e-mail address, a colon, and the token: you@example.com:token. An administrator has \#
    to allow API tokens for the MCP server.",
            "validate": {
              "method": "mcp"
            }
          }
        },
        {
          "id": "notion",
          "name": "Notion",
          "mcp_url": "https://mcp.notion.com/mcp",
          "transport": "streamable-http",
          "oauth": {
            "registration": "dynamic",
            "scopes": []
          },
          "refresh": {
            "rotates": true,
            "default_lifetime_seconds": 3600,
            "background_interval_seconds": 21600
          }
        },
        {
          "id": "figma",
          "name": "Figma",
          "mcp_url": "https://mcp.figma.com/mcp",
          "transport": "streamable-http",
          "oauth": {
            "registration": "dynamic",
            "scopes": ["mcp:connect"],
            "authorization_url": "https://www.figma.com/oauth/mcp",
            "token_url": "https://api.figma.com/v1/oauth/token",
            "registration_url": "https://api.figma.com/v1/oauth/mcp/register"
          },
          "refresh": {
            "rotates": false,
            "default_lifetime_seconds": 7776000
          },
          "api_key": {
            "header": "X-Figma-Token",
            "format": "{key}",
            "instructions": "In Figma open Settings, Security, Personal access tokens, and \#
    generate a token.",
            "validate": {
              "method": "http",
              "url": "https://api.figma.com/v1/me"
            }
          }
        },
        {
          "id": "sentry",
          "name": "Sentry",
          "mcp_url": "https://mcp.sentry.dev/mcp",
          "transport": "streamable-http",
          "oauth": {
            "registration": "dynamic",
            "scopes": ["org:read", "project:write", "team:write", "event:write"]
          },
          "refresh": {
            "rotates": true
          }
        },
        {
          "id": "asana",
          "name": "Asana",
          "mcp_url": "https://mcp.asana.com/v2/mcp",
          "transport": "streamable-http",
          "oauth": {
            "registration": "static",
            "scopes": ["default"],
            "authorization_url": "https://app.asana.com/-/oauth_authorize",
            "token_url": "https://app.asana.com/-/oauth_token",
            "revocation_url": "https://app.asana.com/-/oauth_revoke",
            "client_authentication": "post"
          },
          "refresh": {
            "rotates": false,
            "default_lifetime_seconds": 3600
          }
        },
        {
          "id": "slack",
          "name": "Slack",
          "mcp_url": "https://mcp.slack.com/mcp",
          "transport": "streamable-http",
          "oauth": {
            "registration": "static",
            "scopes": [],
            "scope_separator": ",",
            "resource": false,
            "authorization_url": "https://slack.com/oauth/v2_user/authorize",
            "token_url": "https://slack.com/api/oauth.v2.user.access",
            "revocation": "slack",
            "revocation_url": "https://slack.com/api/auth.revoke",
            "client_authentication": "post"
          },
          "refresh": {
            "rotates": true,
            "dead_errors": ["invalid_refresh_token", "token_revoked"]
          }
        },
        {
          "id": "stripe",
          "name": "Stripe",
          "mcp_url": "https://mcp.stripe.com",
          "transport": "streamable-http",
          "oauth": {
            "registration": "dynamic",
            "scopes": ["mcp"]
          },
          "refresh": {
            "rotates": true
          },
          "api_key": {
            "header": "Authorization",
            "format": "Bearer {key}",
            "instructions": "In the Stripe dashboard open Developers, API keys, and create a \#
    restricted key with only the permissions that you need.",
            "validate": {
              "method": "mcp"
            }
          }
        },
        {
          "id": "hubspot",
          "name": "HubSpot",
          "mcp_url": "https://mcp.hubspot.com",
          "transport": "streamable-http",
          "oauth": {
            "registration": "static",
            "scopes": [],
            "authorization_url": "https://mcp.hubspot.com/oauth/authorize/user",
            "token_url": "https://mcp.hubspot.com/oauth/v3/token",
            "client_authentication": "post"
          },
          "refresh": {
            "rotates": true,
            "default_lifetime_seconds": 1800
          }
        }
      ]
    }
    """#
}
