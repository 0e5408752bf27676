/* SPDX-License-Identifier: MIT */
/* Why a function and a driver do not meet (spec 10, 2.4 and 2.5; 3.3 for vfio-pci). */
#include "machine/explain.h"
#include <string.h>

#define DEVICES "/sys/bus/pci/devices/"

static const char *error_name(int error)
{
	const char *name = error == -DEV_EPROBE_DEFER ? "EPROBE_DEFER" : strerrorname_np(-error);

	return name ? name : "an error";
}

bool explain_override(struct pci_dev *d, const char *driver, FILE *out)
{
	char name[64];

	if (!dev_override_name(&d->dev, name, sizeof(name)) || strcmp(name, driver) == 0)
		return false;
	fprintf(out,
		"  %s has driver_override \"%s\": no other driver matches it (ENODEV).\n"
		"  echo > " DEVICES "%s/driver_override   # clears that\n",
		d->dev.name, name, d->dev.name);
	return true;
}

/* ---- vfio-pci ---- */

/* In the order of its probe's checks. */
bool explain_vfio_refuses(struct machine *m, struct pci_dev *d, FILE *out)
{
	const struct iommu_unit *unit = iommu_dev_unit(d->iommu);
	const char *name = d->dev.name;

	if (vfio_pci_denied(m->vfio_pci, d))
		fprintf(out,
			"  %s (%04x:%04x) is on vfio-pci's denylist, of devices that a program could use to hurt the "
			"host "
			"(EINVAL).\n"
			"  To allow it nevertheless: vfio_pci.disable_denylist: yes in the machine file.\n",
			name, d->vendor, d->device);
	else if (d->bridge)
		fprintf(out,
			"  %s is a bridge, which vfio-pci does not take (EINVAL): give the functions below it to "
			"users; the "
			"bridge\n  comes along with their group.\n",
			name);
	else if (pci_vfs(d))
		fprintf(out,
			"  %s has virtual functions (%u), and vfio-pci does not take it while it has (EBUSY): give "
			"those to "
			"users,\n  or take them away (%s).\n",
			name, pci_vfs(d),
			pci_is_physfn(d) ? "echo 0 > sriov_numvfs, while their driver is bound to it" :
					   "leave the functions with \"physfn:\" out of the machine file");
	else if (!unit && !vfio_noiommu_on(m->vfio))
		fprintf(out,
			"  %s is behind no IOMMU, so nothing confines its DMA, and vfio-pci does not take it "
			"(EINVAL).\n"
			"  Put it behind one: leave \"iommu: none\" out of the machine file.\n%s",
			name,
			m->desc->parameters.vfio.without & VFIO_WITHOUT_NOIOMMU
				? ""
				: "  Or do without: echo Y > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode, "
				  "then "
				  "bind it to vfio-pci.\n");
	else if (unit && !unit->coherent)
		fprintf(out,
			"  IOMMU %s cannot make mappings that snoop the caches, which VFIO promises its users: "
			"vfio-pci does "
			"not take\n  %s (EINVAL). Put it behind another IOMMU (coherent: yes in the machine file).\n",
			unit->name, name);
	else
		return false;
	return true;
}

/* ---- host drivers ---- */

static void tell_candidate(struct pci_dev *d, const struct machine_host_driver *h, bool owned, FILE *out)
{
	const char *name = d->dev.name;

	if (owned && !h->drv.managed)
		fprintf(out, "  %s has no driver, and \"%s\" does not get it while a user has the group "
			     "(EBUSY).\n", name,
			h->drv.name);
	else if (h->needs && !atomic_load(&h->needs->bound))
		fprintf(out,
			"  %s has no driver yet: \"%s\" waits until \"%s\" has a device (EAGAIN), and is then tried "
			"again.\n",
			name, h->drv.name, h->needs->drv.name);
	else if (h->probe_error)
		fprintf(out, "  %s has no driver: \"%s\" was tried and fails with %s, which is its own affair.\n", name,
			h->drv.name, error_name(h->probe_error));
}

void explain_driverless(struct machine *m, struct pci_dev *d, bool owned, FILE *out)
{
	if (d->physfn && !pci_vf_autoprobe(d) && !dev_overridden(&d->dev)) {
		fprintf(out,
			"  %s is a virtual function of %s, whose sriov_drivers_autoprobe is 0: only a driver that is "
			"named "
			"in its\n  driver_override gets it (ENODEV).\n",
			d->dev.name, d->physfn->dev.name);
		return;
	}
	for (unsigned i = 0; i < m->ndrivers; i++) {
		if (drv_matches(&m->drivers[i].drv, &d->dev))
			tell_candidate(d, &m->drivers[i], owned, out);
	}
}
