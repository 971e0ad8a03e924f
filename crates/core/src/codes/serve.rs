//! MW0900 to MW0999.

use super::CodeInfo;

pub const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "MW0900",
        title: "The user name or the password is wrong",
        help: "The answer is the same for an unknown user, a disabled one and a wrong password. An administrator resets a \
               password with `PUT`ting the user again, or makes a token.",
    },
    CodeInfo {
        code: "MW0901",
        title: "The token is not known",
        help: "Tokens begin with `mw_` and are shown once, when they are made. It may have been revoked, or its user \
               disabled or removed. Ask an administrator for a new one.",
    },
    CodeInfo {
        code: "MW0902",
        title: "The token has expired",
        help: "A token lasts until the time that was given when it was made. Make a new one.",
    },
    CodeInfo {
        code: "MW0903",
        title: "The password is too short or too long",
        help: "Passwords have 12 to 1024 characters. Length is what makes them hard to guess; no kind of character is required.",
    },
    CodeInfo {
        code: "MW0904",
        title: "Too many failed sign-ins",
        help: "After five failures in a row a user name has to wait, twice as long each time, up to a minute. Many failures \
               of all users together slow down everybody's password sign-in. Tokens are not affected.",
    },
    CodeInfo {
        code: "MW0907",
        title: "Not a user name",
        help: "User names have 1 to 64 of the characters a to z, A to Z, 0 to 9, `.`, `_`, `-`, `@` and `+`. `owner` and \
               `anonymous` are reserved.",
    },
    CodeInfo {
        code: "MW0908",
        title: "The token would expire in the past",
        help: "Give an expiry that is later than now, or none.",
    },
    CodeInfo {
        code: "MW0909",
        title: "The session has ended",
        help: "The user was disabled or removed, or the token that opened the session was revoked or has expired. Sign in again.",
    },
    CodeInfo {
        code: "MW0911",
        title: "A password could not be checked",
        help: "The stored hash does not have a known form. An administrator sets the password again.",
    },
];
