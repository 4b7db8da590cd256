// SPDX-License-Identifier: ISC
import { texts } from "../../text";

export const t = texts(
  {
    title: "Sign in",
    user: "User name or email",
    password: "Password",
    stay: "Stay signed in on this device",
    submit: "Sign in",
    ended: "Your session has ended. Sign in again to continue.",
    left: "You have signed out.",
    wrong: "Wrong user name or password.",
    nobody: "Signing in is not possible here yet",
    nobodyHint: "No plugin of this server checks passwords. Add the plugin “{plugin}” to its configuration.",
    odd: "The server's answer could not be read.",
  },
  {
    title: "登录",
    user: "用户名或邮箱",
    password: "密码",
    stay: "在此设备上保持登录",
    submit: "登录",
    ended: "会话已结束，请重新登录。",
    left: "您已退出登录。",
    wrong: "用户名或密码错误。",
    nobody: "暂时无法登录",
    nobodyHint: "服务器没有可验证密码的插件。请在配置中添加插件“{plugin}”。",
    odd: "无法读取服务器的响应。",
  },
);
