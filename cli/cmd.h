/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#ifndef MERIDIAN_CLI_CMD_H
#define MERIDIAN_CLI_CMD_H

/*
 * The subcommands of `meridian`. Each takes its own argument list (argv[0] is its name) and returns
 * the exit status: 0 done, 1 failed, 2 bad flags. Adding one is a line here and one in main.c's
 * table.
 */
int cmd_node(int argc, char **argv);
int cmd_plane(int argc, char **argv);
int cmd_lab(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_log(int argc, char **argv);

#endif
