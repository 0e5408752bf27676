/* SPDX-License-Identifier: MIT */
/*
 * The shape of a machine file, as libcyaml wants it told. Everything that is not a plain word, number or choice
 * (addresses, ids, sizes, ACS) is a string here and read in check.c, where a mistake can be explained.
 */
#include "machine/desc.h"

#define OPTIONAL CYAML_FLAG_OPTIONAL
#define STRING(key, flags, type, member) CYAML_FIELD_STRING_PTR(key, flags, type, member, 1, MACHINE_STRING_MAX)
#define CHOICE(key, type, member)                                                                            \
	CYAML_FIELD_ENUM(key, OPTIONAL | CYAML_FLAG_STRICT, type, member, choices, ARRAY_SIZE(choices))

static const struct cyaml_strval choices[] = {
	{ "yes", MACHINE_YES }, { "no", MACHINE_NO }, { "true", MACHINE_YES }, { "false", MACHINE_NO },
};

static const struct cyaml_schema_value string_item = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, MACHINE_STRING_MAX),
};

static const struct cyaml_schema_field parameter_fields[] = {
	STRING("pci.config_acs", OPTIONAL, struct machine_parameters, config_acs),
	STRING("pci.disable_acs_redir", OPTIONAL, struct machine_parameters, disable_acs_redir),
	CHOICE("iommu.passthrough", struct machine_parameters, passthrough),
	CHOICE("iommu.strict", struct machine_parameters, strict),
	STRING("pci_stub.ids", OPTIONAL, struct machine_parameters, stub_ids),
	CHOICE("vfio.enable_unsafe_noiommu_mode", struct machine_parameters, noiommu),
	CHOICE("vfio_iommu_type1.allow_unsafe_interrupts", struct machine_parameters, unsafe_interrupts),
	CHOICE("vfio_iommu_type1.disable_hugepages", struct machine_parameters, disable_hugepages),
	CYAML_FIELD_UINT("vfio_iommu_type1.dma_entry_limit", OPTIONAL, struct machine_parameters, dma_entry_limit),
	STRING("vfio_pci.ids", OPTIONAL, struct machine_parameters, ids),
	CHOICE("vfio_pci.nointxmask", struct machine_parameters, nointxmask),
	CHOICE("vfio_pci.disable_idle_d3", struct machine_parameters, disable_idle_d3),
	CHOICE("vfio_pci.enable_sriov", struct machine_parameters, enable_sriov),
	CHOICE("vfio_pci.disable_denylist", struct machine_parameters, disable_denylist),
	CHOICE("vfio_pci.disable_vga", struct machine_parameters, disable_vga),
	CYAML_FIELD_END,
};

static const char *name_of(const struct cyaml_strval *names, size_t n, int64_t val)
{
	for (size_t i = 0; i < n; i++) {
		if (names[i].val == val)
			return names[i].str;
	}
	return "?";
}

static const struct cyaml_strval versions[] = {
	{ "linux-7.3", MACHINE_LINUX_7_3 },   { "linux-6.2", MACHINE_LINUX_6_2 },   { "linux-6.1", MACHINE_LINUX_6_1 },
	{ "linux-5.15", MACHINE_LINUX_5_15 }, { "linux-5.10", MACHINE_LINUX_5_10 }, { "linux-5.8", MACHINE_LINUX_5_8 },
	{ "linux-5.4", MACHINE_LINUX_5_4 },   { "debian-13", MACHINE_DEBIAN_13 },
};

const char *machine_version_name(enum machine_version version)
{
	return name_of(versions, ARRAY_SIZE(versions), version);
}

static const struct cyaml_schema_field kernel_fields[] = {
	CYAML_FIELD_ENUM("version", OPTIONAL | CYAML_FLAG_STRICT, struct machine_kernel, version, versions,
			 ARRAY_SIZE(versions)),
	CHOICE("type1", struct machine_kernel, type1),
	CHOICE("noiommu", struct machine_kernel, noiommu),
	CHOICE("dma_ownership", struct machine_kernel, dma_ownership),
	CHOICE("dynamic_msix", struct machine_kernel, dynamic_msix),
	CHOICE("iommufd_test", struct machine_kernel, iommufd_test),
	CYAML_FIELD_END,
};

static const struct cyaml_strval blocked[] = { { "sigbus", MACHINE_SIGBUS }, { "all-ones", MACHINE_ALL_ONES } };

static const struct cyaml_schema_field emulated_fields[] = {
	STRING("name", CYAML_FLAG_DEFAULT, struct machine_emulated, name),
	CYAML_FIELD_BOOL("deaf", OPTIONAL, struct machine_emulated, deaf),
	CYAML_FIELD_END,
};
static const struct cyaml_schema_value emulated_item = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct machine_emulated, emulated_fields),
};

static const struct cyaml_strval unit_kinds[] = {
	{ "intel", MACHINE_INTEL }, { "amd", MACHINE_AMD }, { "smmu", MACHINE_SMMU },
};

static const struct cyaml_schema_field unit_fields[] = {
	STRING("name", CYAML_FLAG_DEFAULT, struct machine_unit, name),
	CYAML_FIELD_ENUM("kind", OPTIONAL | CYAML_FLAG_STRICT, struct machine_unit, kind, unit_kinds,
			 ARRAY_SIZE(unit_kinds)),
	CYAML_FIELD_UINT("width", OPTIONAL, struct machine_unit, width),
	CYAML_FIELD_SEQUENCE("page_sizes", OPTIONAL | CYAML_FLAG_POINTER, struct machine_unit, page_sizes, &string_item,
			     1, 8),
	CHOICE("coherent", struct machine_unit, coherent),
	CHOICE("enforce_coherency", struct machine_unit, enforce_coherency),
	CHOICE("interrupt_remapping", struct machine_unit, interrupt_remapping),
	CHOICE("dirty_tracking", struct machine_unit, dirty_tracking),
	CHOICE("nesting", struct machine_unit, nesting),
	CHOICE("acs", struct machine_unit, acs),
	STRING("default_domain", OPTIONAL, struct machine_unit, default_domain),
	CYAML_FIELD_SEQUENCE("reserved", OPTIONAL | CYAML_FLAG_POINTER, struct machine_unit, reserved, &string_item, 1,
			     IOMMU_UNIT_RESV),
	CYAML_FIELD_END,
};
static const struct cyaml_schema_value unit_item = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct machine_unit, unit_fields),
};

static const struct cyaml_schema_field driver_fields[] = {
	STRING("name", CYAML_FLAG_DEFAULT, struct machine_driver, name),
	STRING("what", OPTIONAL, struct machine_driver, what),
	CYAML_FIELD_SEQUENCE("match", OPTIONAL | CYAML_FLAG_POINTER, struct machine_driver, match, &string_item, 0,
			     CYAML_UNLIMITED),
	CHOICE("does_dma", struct machine_driver, does_dma),
	CHOICE("maps_mmio", struct machine_driver, maps_mmio),
	CHOICE("managed", struct machine_driver, managed),
	CHOICE("sriov", struct machine_driver, sriov),
	STRING("probe", OPTIONAL, struct machine_driver, probe),
	STRING("needs", OPTIONAL, struct machine_driver, needs),
	CYAML_FIELD_END,
};
static const struct cyaml_schema_value driver_item = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct machine_driver, driver_fields),
};

static const struct cyaml_strval node_kinds[] = {
	{ "function", MACHINE_FUNCTION },       { "host-bridge", MACHINE_HOST_BRIDGE },
	{ "root-port", MACHINE_ROOT_PORT },     { "upstream-port", MACHINE_UPSTREAM },
	{ "downstream-port", MACHINE_DOWNSTREAM }, { "pcie-to-pci", MACHINE_PCIE_TO_PCI },
	{ "pci-to-pcie", MACHINE_PCI_TO_PCIE }, { "pci-bridge", MACHINE_PCI_BRIDGE },
	{ "event-collector", MACHINE_EVENT_COLLECTOR },
};

const char *machine_kind_name(enum machine_kind kind)
{
	return name_of(node_kinds, ARRAY_SIZE(node_kinds), kind);
}

static const struct cyaml_schema_field sriov_fields[] = {
	CYAML_FIELD_UINT("vfs", CYAML_FLAG_DEFAULT, struct machine_sriov, vfs),
	CYAML_FIELD_UINT("offset", OPTIONAL, struct machine_sriov, offset),
	CYAML_FIELD_UINT("stride", OPTIONAL, struct machine_sriov, stride),
	STRING("model", CYAML_FLAG_DEFAULT, struct machine_sriov, model),
	CYAML_FIELD_SEQUENCE("args", OPTIONAL | CYAML_FLAG_POINTER, struct machine_sriov, args, &string_item, 0,
			     CYAML_UNLIMITED),
	STRING("ids", OPTIONAL, struct machine_sriov, ids),
	CYAML_FIELD_END,
};

static const struct cyaml_schema_field capability_fields[] = {
	CYAML_FIELD_UINT("id", CYAML_FLAG_DEFAULT, struct machine_capability, id),
	CYAML_FIELD_UINT("at", CYAML_FLAG_DEFAULT, struct machine_capability, at),
	CYAML_FIELD_UINT("version", OPTIONAL, struct machine_capability, version),
	STRING("bytes", OPTIONAL, struct machine_capability, bytes),
	STRING("write", OPTIONAL, struct machine_capability, write),
	STRING("clear", OPTIONAL, struct machine_capability, clear),
	CYAML_FIELD_END,
};
static const struct cyaml_schema_value capability_item = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct machine_capability, capability_fields),
};

static const struct cyaml_schema_value node_item;

static const struct cyaml_schema_field node_fields[] = {
	STRING("at", OPTIONAL, struct machine_node, at),
	CYAML_FIELD_ENUM("kind", OPTIONAL | CYAML_FLAG_STRICT, struct machine_node, kind, node_kinds,
			 ARRAY_SIZE(node_kinds)),
	STRING("bus", OPTIONAL, struct machine_node, bus),
	STRING("name", OPTIONAL, struct machine_node, name),
	STRING("model", OPTIONAL, struct machine_node, model),
	CYAML_FIELD_SEQUENCE("args", OPTIONAL | CYAML_FLAG_POINTER, struct machine_node, args, &string_item, 0,
			     CYAML_UNLIMITED),
	STRING("ids", OPTIONAL, struct machine_node, ids),
	STRING("class", OPTIONAL, struct machine_node, class_code),
	STRING("acs", OPTIONAL, struct machine_node, acs),
	STRING("acs_quirk", OPTIONAL, struct machine_node, acs_quirk),
	STRING("iommu", OPTIONAL, struct machine_node, iommu),
	STRING("bind", OPTIONAL, struct machine_node, bind),
	STRING("physfn", OPTIONAL, struct machine_node, physfn),
	CHOICE("present", struct machine_node, present),
	CHOICE("multifunction", struct machine_node, multifunction),
	CHOICE("integrated", struct machine_node, integrated),
	CYAML_FIELD_BOOL("shpc", OPTIONAL, struct machine_node, shpc),
	CYAML_FIELD_BOOL("ats", OPTIONAL, struct machine_node, ats),
	CYAML_FIELD_UINT("pasid", OPTIONAL, struct machine_node, pasid),
	CYAML_FIELD_BOOL("pri", OPTIONAL, struct machine_node, pri),
	STRING("atomics", OPTIONAL, struct machine_node, atomics),
	CYAML_FIELD_BOOL("untrusted", OPTIONAL, struct machine_node, untrusted),
	CYAML_FIELD_SEQUENCE("capabilities", OPTIONAL | CYAML_FLAG_POINTER, struct machine_node, capabilities,
			     &capability_item, 1, 100),
	CYAML_FIELD_MAPPING_PTR("sriov", OPTIONAL, struct machine_node, sriov, sriov_fields),
	CYAML_FIELD_SEQUENCE("reserved", OPTIONAL | CYAML_FLAG_POINTER, struct machine_node, reserved, &string_item, 0,
			     64),
	CYAML_FIELD_SEQUENCE("below", OPTIONAL | CYAML_FLAG_POINTER, struct machine_node, below, &node_item, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_END,
};
static const struct cyaml_schema_value node_item = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct machine_node, node_fields),
};

static const struct cyaml_schema_field machine_fields[] = {
	STRING("machine", CYAML_FLAG_DEFAULT, struct machine_desc, name),
	CYAML_FIELD_MAPPING("kernel", OPTIONAL, struct machine_desc, kernel, kernel_fields),
	CYAML_FIELD_MAPPING("parameters", OPTIONAL, struct machine_desc, parameters, parameter_fields),
	CYAML_FIELD_ENUM("blocked_access", OPTIONAL | CYAML_FLAG_STRICT, struct machine_desc, blocked_access, blocked,
			 ARRAY_SIZE(blocked)),
	CYAML_FIELD_SEQUENCE("iommus", OPTIONAL | CYAML_FLAG_POINTER, struct machine_desc, iommus, &unit_item, 0, 64),
	CYAML_FIELD_SEQUENCE("drivers", OPTIONAL | CYAML_FLAG_POINTER, struct machine_desc, drivers, &driver_item, 0,
			     CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("devices", CYAML_FLAG_POINTER, struct machine_desc, devices, &node_item, 1,
			     CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("emulated", OPTIONAL | CYAML_FLAG_POINTER, struct machine_desc, emulated, &emulated_item,
			     0, 64),
	CYAML_FIELD_END,
};

const struct cyaml_schema_value machine_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct machine_desc, machine_fields),
};
